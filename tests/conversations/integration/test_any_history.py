"""Whatever happened, the API answers what the reference has, in the form that it promises."""

from typing import Any

from conversations_world import Inbox
from hypothesis import HealthCheck, given, settings
from naive_threads import histories, naive
from profiles import examples
from thread_rows import clear, expected, fold_all
from wabus_conversations.api.models import Contacts, ConversationView, MessageView, Statuses
from wabus_events import Event
from wabus_whatsapp.joins import MessageState

pytest_plugins = ["conversations_world"]

LINES = ("message", "call", "system")


async def every_page(inbox: Inbox, path: str, name: str, **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        answer = await inbox.ask(path, {**after, **params}, limit="2")
        found += answer[name]
        if answer["next"] is None:
            return found
        after = {"after": answer["next"]}


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(histories())
async def test_the_answers_are_what_the_reference_has(inbox: Inbox, history: list[Event]) -> None:
    await clear(inbox.pool)
    await fold_all(inbox.pool, [history])
    reference = expected(naive(history))
    conversations = await every_page(inbox, "/conversations", "conversations")

    assert {each["conversation_id"] for each in conversations} == reference["conversations"].keys()
    assert len(conversations) == len(reference["conversations"])
    shown: dict[str, tuple[str, str | None]] = {}
    for conversation in conversations:
        ConversationView.model_validate(conversation)
        identity = conversation["conversation_id"]
        assert conversation["unread"] == reference["conversations"][identity]["unread"]
        path = f"/conversations/{identity}/messages"
        messages = await every_page(inbox, path, "messages", include="unknown")
        assert [each["at"] for each in messages] == sorted((each["at"] for each in messages), reverse=True)
        for message in messages:
            MessageView.model_validate(message)
            assert message["message_id"] not in shown
            shown[message["message_id"]] = identity, message["state"]
            history_of = await inbox.ask(f"{path}/{message['message_id']}/statuses")
            Statuses.model_validate(history_of)
            told = [each for each in reference["statuses"] if each[0] == message["message_id"]]
            assert len(history_of["statuses"]) == len(told)
    assert shown == {
        message_id: (message["conversation"], _word(message["state"]) if message["outgoing"] else None)
        for message_id, message in reference["messages"].items()
        if message["kind"] in LINES
    }
    contacts = await every_page(inbox, "/contacts", "contacts")
    Contacts.model_validate({"contacts": contacts, "next": None})
    assert {each["contact_id"] for each in contacts} == reference["persons"]


def _word(state: int) -> str | None:
    return MessageState(state).name.lower() if state else None
