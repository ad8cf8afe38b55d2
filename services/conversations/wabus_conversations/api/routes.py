"""The addresses of the API and what stands behind each, as `/openapi.json` describes them."""

from aiohttp import web
from wabus_runtime.http.headers import IF_NONE_MATCH, PREFER_WAIT
from wabus_runtime.http.openapi import Header, Operation, route

from wabus_conversations.api.contacts import ContactsApi
from wabus_conversations.api.conversations import ConversationsApi
from wabus_conversations.api.following import FollowingApi
from wabus_conversations.api.media import MediaApi
from wabus_conversations.api.models import (
    ContactPath,
    Contacts,
    ContactsQuery,
    ContactView,
    ConversationPath,
    Conversations,
    ConversationView,
    ExportLine,
    Forgotten,
    Found,
    FrameView,
    ListQuery,
    MediumPath,
    MediumQuery,
    MessagePath,
    SearchQuery,
    Statuses,
    StreamQuery,
    StreamTicket,
    Thread,
    ThreadQuery,
    Tickets,
    TicketsWanted,
)
from wabus_conversations.api.work import routes as work
from wabus_conversations.api.work.acting import ActingApi
from wabus_conversations.api.work.looking import LookingApi
from wabus_conversations.api.work.settings import SettingsApi

TAG = "conversations"

LIST = Operation(
    "GET", "/conversations", "The conversations, those with the newest activity first", TAG,
    {200: Conversations, 304: None}, (403, 422), query=ListQuery, headers=IF_NONE_MATCH,
)  # fmt: skip
SEARCH = Operation(
    "GET", "/conversations/search", "Messages that have some words, the newest first", TAG,
    {200: Found}, (403, 409, 422), query=SearchQuery,
)  # fmt: skip
ONE = Operation(
    "GET", "/conversations/{conversation_id}", "One conversation, and whether anything may be sent in it now", TAG,
    {200: ConversationView, 304: None}, (403, 404, 422), path_parameters=ConversationPath, headers=IF_NONE_MATCH,
)  # fmt: skip
THREAD = Operation(
    "GET", "/conversations/{conversation_id}/messages", "Its messages, the newest first", TAG,
    {200: Thread, 304: None}, (403, 404, 422), path_parameters=ConversationPath, query=ThreadQuery,
    headers=IF_NONE_MATCH,
)  # fmt: skip
STATUSES = Operation(
    "GET", "/conversations/{conversation_id}/messages/{message_id}/statuses", "What became of a message", TAG,
    {200: Statuses, 304: None}, (403, 404, 422), path_parameters=MessagePath, headers=IF_NONE_MATCH,
)  # fmt: skip
STREAM = Operation(
    "GET", "/conversations/stream", "What changes, live (server-sent events)", TAG, {200: FrameView},
    (403, 404, 422, 429), query=StreamQuery, headers={"Last-Event-ID": Header("The `id` of the last event seen.")},
    media="text/event-stream",
)  # fmt: skip
SOCKET = Operation(
    "GET", "/conversations/ws", "What changes, live (WebSocket)", TAG, {101: None}, (403, 404, 422, 426, 429),
    query=StreamQuery,
)  # fmt: skip
TICKET = Operation(
    "POST", "/stream-tickets", "A ticket to follow by, where no header can be sent", TAG, {200: StreamTicket},
    (403, 429),
)  # fmt: skip
CONTACTS = Operation(
    "GET", "/contacts", "The persons, or who has a number or user id", TAG,
    {200: Contacts, 304: None}, (403, 422), query=ContactsQuery, headers=IF_NONE_MATCH,
)  # fmt: skip
CONTACT = Operation(
    "GET", "/contacts/{contact_id}", "One person, and all that they are known by", TAG,
    {200: ContactView, 304: None}, (403, 404, 422), path_parameters=ContactPath, headers=IF_NONE_MATCH,
)  # fmt: skip
EXPORT = Operation(
    "GET", "/contacts/{contact_id}/export", "All that is kept of one person, as lines of JSON (administrators only)",
    TAG, {200: ExportLine}, (403, 404, 422), path_parameters=ContactPath, media="application/x-ndjson",
)  # fmt: skip
FORGET = Operation(
    "DELETE", "/contacts/{contact_id}", "Forget a person, with all messages until now (administrators only)", TAG,
    {200: Forgotten, 202: Forgotten}, (403, 404, 422), path_parameters=ContactPath, headers={"Prefer": PREFER_WAIT},
)  # fmt: skip
MEDIUM = Operation(
    "GET", "/media/{media_id}", "The bytes of a medium, all or a part, with a token or a ticket", TAG,
    {200: None, 206: None, 304: None}, (403, 404, 409, 410, 416, 422, 429), path_parameters=MediumPath,
    query=MediumQuery, headers={**IF_NONE_MATCH, "Range": Header("`bytes=0-99`: a part of it.")},
)  # fmt: skip
TICKETS = Operation(
    "POST", "/media/tickets", "Addresses of media for where no token can be sent, good for five minutes", TAG,
    {201: Tickets}, (400, 403, 408, 413, 415, 422, 429), body=TicketsWanted,
)  # fmt: skip

OPERATIONS = (
    LIST,
    SEARCH,
    STREAM,
    SOCKET,
    TICKET,
    ONE,
    THREAD,
    STATUSES,
    CONTACTS,
    CONTACT,
    EXPORT,
    FORGET,
    MEDIUM,
    TICKETS,
    *work.OPERATIONS,
)


def add_routes(
    app: web.Application,
    conversations: ConversationsApi,
    contacts: ContactsApi,
    following: FollowingApi,
    media: MediaApi,
    acting: ActingApi,
    settings: SettingsApi,
    looking: LookingApi,
) -> None:
    """Route every operation; `/conversations/search` and its like before what could be an id."""
    handlers = (
        (LIST, conversations.list_conversations),
        (SEARCH, conversations.search),
        (STREAM, following.stream),
        (SOCKET, following.socket),
        (TICKET, following.ticket),
        (ONE, conversations.one_conversation),
        (THREAD, conversations.thread),
        (STATUSES, conversations.statuses),
        (CONTACTS, contacts.list_contacts),
        (CONTACT, contacts.one_contact),
        (EXPORT, contacts.export),
        (FORGET, contacts.forget),
        (MEDIUM, media.medium),
        (TICKETS, media.tickets),
        *work.handlers(acting, settings, looking),
    )
    route(app, handlers)
    app.router.add_head(MEDIUM.path, media.medium)
