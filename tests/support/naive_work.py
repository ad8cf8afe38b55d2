"""What people do with conversations, made up, and a reference that looks at it from its end."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from hypothesis import strategies as st
from threads import ANNA, NUMBER, ORG, START, WABA, at
from wabus_events import (
    ConversationAssigned,
    ConversationClosed,
    ConversationEvent,
    ConversationRead,
    ConversationReopened,
    ConversationSnoozed,
    ConversationTagged,
)

CONVERSATION = str(uuid5(NAMESPACE_URL, "a conversation"))
AGENTS = ("anna", "ben", None)
TAGS = ("vip", "new", "angry")
PLACES = st.tuples(st.integers(0, 5), st.integers(0, 2))
"""Of the last message that was there: its second, and its place in the log."""


def event_id(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"event {number}"))


def made(kind: type[ConversationEvent], number: int, conversation_id: str = CONVERSATION, **fields: Any) -> Any:
    """The event of this number in the log."""
    return kind(
        id=event_id(number),
        time=START + timedelta(minutes=number),
        org_id=ORG,
        waba_id=WABA,
        phone_number_id=NUMBER,
        conversation_id=conversation_id,
        contacts=[ANNA],
        by="anna",
        **fields,
    )


@st.composite
def logs(draw: st.DrawFn, conversation_id: str = CONVERSATION) -> list[ConversationEvent]:
    """Events of one conversation, in the order of the log."""
    found: list[ConversationEvent] = []
    for number in range(draw(st.integers(0, 8))):
        second, tie = draw(PLACES)
        up_to: dict[str, Any] = draw(st.sampled_from(({}, {"up_to_at": at(second), "up_to_tie": tie})))
        kind = draw(st.sampled_from(KINDS))
        fields: dict[str, Any] = {}
        if kind is ConversationAssigned:
            fields = {
                "agent": draw(st.sampled_from(AGENTS)),
                "team": draw(st.sampled_from(("orders", None))),
                "instead_of": draw(st.sampled_from(AGENTS)),
                "reason": draw(st.sampled_from(("asked", "asked", "routed"))),
                **up_to,
            }
        elif kind is ConversationSnoozed:
            fields = {"until": at(draw(st.integers(100, 200))), **up_to}
        elif kind in (ConversationClosed, ConversationRead):
            fields = up_to
        elif kind is ConversationReopened:
            fields = {"snooze": draw(st.sampled_from((None, None, *(event_id(each) for each in range(number)))))}
        elif kind is ConversationTagged:
            fields = {
                "added": draw(st.lists(st.sampled_from(TAGS), max_size=2)),
                "removed": draw(st.lists(st.sampled_from(TAGS), max_size=2)),
            }
        found.append(made(kind, number, conversation_id, **fields))
    return found


KINDS = (
    ConversationAssigned,
    ConversationAssigned,
    ConversationClosed,
    ConversationReopened,
    ConversationSnoozed,
    ConversationRead,
    ConversationTagged,
)


def naive(log: Sequence[ConversationEvent]) -> dict[str, Any]:
    """Each part by itself, each from the whole log."""
    counting = _counting(log)
    ends = [event for event in log if event.id in counting]
    puts = [e for e in ends if isinstance(e, ConversationClosed | ConversationSnoozed | ConversationReopened)
            or (isinstance(e, ConversationAssigned) and (e.agent or e.team))]  # fmt: skip
    last = puts[-1] if puts else None
    held = [e for e in ends if isinstance(e, ConversationAssigned | ConversationClosed)]
    owner = held[-1] if held and isinstance(held[-1], ConversationAssigned) else None
    reads = [(e.up_to_at, e.up_to_tie) for e in log if isinstance(e, ConversationRead) and e.up_to_at]
    return {
        "agent": owner and owner.agent,
        "team": owner and owner.team,
        "put": "closed"
        if isinstance(last, ConversationClosed)
        else "snoozed"
        if isinstance(last, ConversationSnoozed)
        else None,
        "put_id": last.id if isinstance(last, ConversationClosed | ConversationSnoozed) else None,
        "snoozed_until": last.until if isinstance(last, ConversationSnoozed) else None,
        "read": max(reads, default=None),
        "tags": tuple(sorted(tag for tag in TAGS if _has(tag, log))),
    }


def _has(tag: str, log: Sequence[ConversationEvent]) -> bool:
    for event in reversed(log):
        if isinstance(event, ConversationTagged) and tag in (*event.added, *event.removed):
            return tag not in event.removed
    return False


def _counting(log: Sequence[ConversationEvent]) -> set[str]:
    """The events that count, by asking of each whether what it relies on was so: which needs those before it."""
    found: set[str] = set()
    for number, event in enumerate(log):
        before = naive(log[:number])
        if isinstance(event, ConversationAssigned):
            knows = event.instead_of == before["agent"] or (event.agent is not None and event.agent == before["agent"])
            if knows and (event.reason == "asked" or _is_free(event, before, log[:number])):
                found.add(event.id)
        elif isinstance(event, ConversationReopened):
            if event.snooze is None or (before["put"], before["put_id"]) == ("snoozed", event.snooze):
                found.add(event.id)
        else:
            found.add(event.id)
    return found


def _is_free(event: ConversationAssigned, before: dict[str, Any], log: Sequence[ConversationEvent]) -> bool:
    if (event.agent, event.team) == (before["agent"], before["team"]) and before["put"] is None:
        return True
    if before["agent"] is not None or before["team"] not in (None, event.team):
        return False
    if before["put"] is None:
        return True
    (put,) = (each for each in log if each.id == before["put_id"])
    assert isinstance(put, ConversationClosed | ConversationSnoozed)
    if event.up_to_at is None:
        return False
    return put.up_to_at is None or (event.up_to_at, event.up_to_tie) > (put.up_to_at, put.up_to_tie)
