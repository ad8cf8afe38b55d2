"""What a transaction changes that those who follow an organisation are told: its conversations, and what in them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from wabus_runtime.feed import changes
from wabus_runtime.feed.changes import Change, Mark
from wabus_runtime.feed.pending import NO_PARTS, Parts, joined
from wabus_runtime.postgres.database import Connection

from wabus_conversations.threads.facts import Fact, MediumFact, MessageFact, StatusFact
from wabus_conversations.work.audiences import SIGHTS_ID

PROJECTION: Final = "conversations"
"""Under whose offsets changes are known, and on whose channel they are announced."""

_Last = dict[tuple[str, int], Mark]
"""Of each partition the last of some records. Of those of one transaction that is enough: whoever has still to be told
of any of them has not been told of the last."""


@dataclass(slots=True)
class Marks:
    """From which records a batch is: what follows from one is known by it."""

    of_messages: dict[str, _Last] = field(default_factory=dict[str, _Last])
    of_organisations: dict[str, _Last] = field(default_factory=dict[str, _Last])

    def note(self, fact: Fact, mark: Mark) -> None:
        """A fact is in a record; of a partition the first come first."""
        place = mark[:2]
        _last(self.of_organisations, fact.account.org_id)[place] = mark
        if isinstance(fact, (MessageFact, StatusFact, MediumFact)):
            _last(self.of_messages, fact.message_id)[place] = mark


def _last(marks: dict[str, _Last], of: str) -> _Last:
    held = marks.get(of)
    if held is None:
        held = marks[of] = {}
    return held


@dataclass(slots=True)
class _Thread:
    org_id: str
    messages: Parts = NO_PARTS
    marks: _Last | None = field(default_factory=_Last)
    """None where it follows from other records than those of its messages."""


class Changed:
    """The changes of one transaction, or of an attempt at it."""

    def __init__(self, marks: Marks | None = None) -> None:
        self._marks = marks or Marks()
        self._threads: dict[str, _Thread] = {}

    def message(self, org_id: str, conversation_id: str, message_id: str) -> None:
        """A message is new, or something about it is."""
        thread = self._thread(org_id, conversation_id)
        thread.messages = joined(thread.messages, frozenset((message_id,)))
        marks = self._marks.of_messages.get(message_id)
        if marks is None:
            thread.marks = None
        elif thread.marks is not None:
            for place, mark in marks.items():
                thread.marks[place] = max(mark, thread.marks.get(place, mark))

    def row(self, conversations: Mapping[str, str]) -> None:
        """What a list shows of conversations has changed; each is given with its organisation."""
        for conversation_id, org_id in conversations.items():
            self._thread(org_id, conversation_id).marks = None

    def moved(self, conversations: Mapping[str, str]) -> None:
        """They are for others than before: a part that is no message says so, and several changes say it as one."""
        for conversation_id, org_id in conversations.items():
            thread = self._thread(org_id, conversation_id)
            thread.messages, thread.marks = joined(thread.messages, frozenset((SIGHTS_ID,))), None

    def anew(self, conversations: Mapping[str, str]) -> None:
        """Messages have come from elsewhere or gone, or all of it has."""
        for conversation_id, org_id in conversations.items():
            thread = self._thread(org_id, conversation_id)
            thread.messages = thread.marks = None

    async def write(self, connection: Connection) -> None:
        """Write it down, at the end of what is done in the transaction."""
        beside: Mark | None = None
        rows: list[Change] = []
        for conversation_id, thread in self._threads.items():
            last = thread.marks or self._marks.of_organisations.get(thread.org_id)
            marks: Iterable[Mark] = last.values() if last else ()
            if not last:
                beside = beside or await changes.mark_beside(connection, PROJECTION)
                marks = (beside,)
            rows.append(Change(thread.org_id, conversation_id, thread.messages, list(marks)))
        await changes.write(connection, PROJECTION, rows)

    def _thread(self, org_id: str, conversation_id: str) -> _Thread:
        thread = self._threads.get(conversation_id)
        if thread is None:
            thread = self._threads[conversation_id] = _Thread(org_id)
        return thread


class Untold(Changed):
    """Of what is folded again over rows that are there nobody is told one by one: they load everything at its end."""

    async def write(self, connection: Connection) -> None:
        """Write nothing."""
