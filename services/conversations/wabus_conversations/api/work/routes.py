"""The addresses of the API of work, and what stands behind each."""

from collections.abc import Sequence

from aiohttp.typedefs import Handler
from wabus_runtime.http.headers import IDEMPOTENCY_KEY, IF_NONE_MATCH
from wabus_runtime.http.openapi import Operation

from wabus_conversations.api.models import ConversationPath, ConversationView
from wabus_conversations.api.work.acting import ActingApi
from wabus_conversations.api.work.looking import LookingApi, LookingRequest
from wabus_conversations.api.work.models import (
    AssignRequest,
    NotePath,
    NoteRequest,
    Notes,
    NotesQuery,
    NoteView,
    Pending,
    RoutingModel,
    SnoozeRequest,
    TagsRequest,
    TeamsModel,
    UpToRequest,
)
from wabus_conversations.api.work.settings import SettingsApi

TAG = "conversations"
_ONE = "/conversations/{conversation_id}"
_ANSWERS = {200: ConversationView, 202: Pending}
_KEY = {"Idempotency-Key": IDEMPOTENCY_KEY}
_BODY = (400, 403, 404, 408, 413, 415, 422)

ASSIGN = Operation(
    "POST", f"{_ONE}/assign", "Let somebody have a conversation; of two who take it at once, one is told 409", TAG,
    _ANSWERS, (*_BODY, 409), path_parameters=ConversationPath, body=AssignRequest, headers=_KEY,
)  # fmt: skip
CLOSE = Operation(
    "POST", f"{_ONE}/close", "Close a conversation, until the person writes again", TAG, _ANSWERS, _BODY,
    path_parameters=ConversationPath, body=UpToRequest, headers=_KEY,
)  # fmt: skip
REOPEN = Operation(
    "POST", f"{_ONE}/reopen", "Reopen a conversation", TAG, _ANSWERS, (403, 404, 422),
    path_parameters=ConversationPath, headers=_KEY,
)  # fmt: skip
SNOOZE = Operation(
    "POST", f"{_ONE}/snooze", "Put a conversation off, until a moment or until the person writes", TAG, _ANSWERS,
    _BODY, path_parameters=ConversationPath, body=SnoozeRequest, headers=_KEY,
)  # fmt: skip
READ = Operation(
    "POST", f"{_ONE}/read", "Let nothing in it be unread; the person is told nothing", TAG, _ANSWERS, _BODY,
    path_parameters=ConversationPath, body=UpToRequest, headers=_KEY,
)  # fmt: skip
UNREAD = Operation(
    "POST", f"{_ONE}/unread", "Mark a conversation as unread", TAG, _ANSWERS, (403, 404, 422),
    path_parameters=ConversationPath, headers=_KEY,
)  # fmt: skip
TAGS = Operation(
    "POST", f"{_ONE}/tags", "Put tags on a conversation, and take some off", TAG, _ANSWERS, (*_BODY, 409),
    path_parameters=ConversationPath, body=TagsRequest, headers=_KEY,
)  # fmt: skip
NOTES = Operation(
    "GET", f"{_ONE}/notes", "The notes of colleagues about it, the newest first", TAG, {200: Notes, 304: None},
    (403, 404, 422), path_parameters=ConversationPath, query=NotesQuery, headers=IF_NONE_MATCH,
)  # fmt: skip
NOTE = Operation(
    "POST", f"{_ONE}/notes", "Write a note for colleagues", TAG, {201: NoteView, 202: NoteView}, (*_BODY, 409),
    path_parameters=ConversationPath, body=NoteRequest, headers=_KEY,
)  # fmt: skip
UNNOTE = Operation(
    "DELETE", f"{_ONE}/notes/{{note_id}}", "Delete a note of yours, or as an administrator any", TAG, _ANSWERS,
    (403, 404, 422), path_parameters=NotePath, headers=_KEY,
)  # fmt: skip
LOOKING = Operation(
    "POST", f"{_ONE}/looking", "Say that you look at it, write in it, or do so no more; colleagues are told live", TAG,
    {204: None}, (*_BODY, 429), path_parameters=ConversationPath, body=LookingRequest,
)  # fmt: skip
TEAMS = Operation(
    "GET", "/teams", "The teams", TAG, {200: TeamsModel, 304: None}, (403,), headers=IF_NONE_MATCH
)  # fmt: skip
SET_TEAMS = Operation(
    "PUT", "/teams", "Let these be the teams (administrators only)", TAG, {200: TeamsModel, 202: TeamsModel},
    (400, 403, 408, 409, 413, 415, 422), body=TeamsModel,
)  # fmt: skip
ROUTING = Operation(
    "GET", "/routing", "The rules by which conversations are given to people", TAG, {200: RoutingModel, 304: None},
    (403,), headers=IF_NONE_MATCH,
)  # fmt: skip
SET_ROUTING = Operation(
    "PUT", "/routing", "Let these be the rules (administrators only)", TAG, {200: RoutingModel, 202: RoutingModel},
    (400, 403, 408, 413, 415, 422), body=RoutingModel,
)  # fmt: skip

OPERATIONS = (
    ASSIGN,
    CLOSE,
    REOPEN,
    SNOOZE,
    READ,
    UNREAD,
    TAGS,
    NOTES,
    NOTE,
    UNNOTE,
    LOOKING,
    TEAMS,
    SET_TEAMS,
    ROUTING,
    SET_ROUTING,
)


def handlers(acting: ActingApi, settings: SettingsApi, looking: LookingApi) -> Sequence[tuple[Operation, Handler]]:
    """What stands behind each operation."""
    return (
        (ASSIGN, acting.assign),
        (CLOSE, acting.close),
        (REOPEN, acting.reopen),
        (SNOOZE, acting.snooze),
        (READ, acting.read),
        (UNREAD, acting.unread),
        (TAGS, acting.tag),
        (NOTES, acting.list_notes),
        (NOTE, acting.add_note),
        (UNNOTE, acting.remove_note),
        (LOOKING, looking.looking),
        (TEAMS, settings.teams),
        (SET_TEAMS, settings.set_teams),
        (ROUTING, settings.routing),
        (SET_ROUTING, settings.set_routing),
    )
