"""Records become rows: sends, what statuses tell of them, and what has to be known before a call."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import lru_cache, partial, reduce
from uuid import UUID

import asyncpg
from wabus_events import (
    ACCOUNTS,
    CONVERSATIONS,
    INSIGHTS,
    MESSAGES,
    SENDS,
    TEMPLATES,
    BlockRefused,
    BlockRequested,
    ContactBlocked,
    ContactForgotten,
    ContactIdentityChanged,
    ContactUnblocked,
    Event,
    LabelPaused,
    LabelResumed,
    MessageAccepted,
    MessageReceived,
    OptedIn,
    OptedOut,
    PersonDrawn,
    ReadMarkRequested,
    SendRefused,
    SendRequested,
    TeamsChanged,
    WabaEvent,
    contact_id,
    identity_of,
)
from wabus_events.models.sends import SendEvent
from wabus_runtime.directory.directory import Directory
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.engine import project
from wabus_runtime.projection.ownership import Ownership
from wabus_runtime.projection.recorded import Apply, Recorded, Write
from wabus_runtime.projection.replay_over import LastingTables
from wabus_runtime.settings import IdentitySettings
from wabus_whatsapp.ids import Ids, Kind
from wabus_whatsapp.joins import latest
from wabus_whatsapp.window import REFUSED, Opens

from wabus_sender.sending.reading import (
    STOPPED,
    Copied,
    FreeEntry,
    Handed,
    Preferred,
    Seen,
    ShortText,
    StatusOfSend,
    facts_of,
)
from wabus_sender.sending.states import fold
from wabus_sender.settings import SenderFoldSettings
from wabus_sender.tables import experiments, facts, heard, labels, numbers, policies, sends
from wabus_sender.tables.experiments import InArm, Link
from wabus_sender.tables.people import blocks, contacts, free_entries, opt_outs, read_marks, successors, thread_owners
from wabus_sender.tables.people.contacts import Choice, Contact, Wrote
from wabus_sender.tables.people.erasing import erase
from wabus_sender.tables.people.successors import Holder, Successor
from wabus_sender.tables.sends import Asked

NAME = sends.PROJECTION
REBUILDING = "sender-rebuild"
"""The name under which the log is folded again, beside the workers."""
PACKAGE = "wabus_sender"
TOPICS = (SENDS, MESSAGES, ACCOUNTS, TEMPLATES, INSIGHTS, CONVERSATIONS)
DUE = "sender_due"
"""The channel on which it is told that something may be due: the payload is the number that it is of."""
DIRECTORY_TIMEOUT = 60.0  # seconds for the accounts to be read at the start
RELEASED_AT_ONCE = 5_000  # sends
IDENTITIES_REMEMBERED = 50_000
JUST_BEFORE = timedelta(microseconds=1)
"""Until then somebody had what they have no more."""


async def run(
    settings: IdentitySettings,
    pool: asyncpg.Pool,
    directory: Directory,
    ownership: Ownership,
    ready: Callable[[], None],
) -> None:
    """Fold for ever, and say which partitions this process owns."""
    await directory.whole(DIRECTORY_TIMEOUT)
    projection = declared(NAME, settings.identity_bytes, directory)
    await project(settings, pool, projection, ready, ownership=ownership)


@asynccontextmanager
async def _folding_again(settings: SenderFoldSettings, _pool: asyncpg.Pool) -> AsyncGenerator[Projection]:
    directory = Directory(settings)
    following = asyncio.create_task(directory.run(lambda: None))
    try:
        await directory.whole(DIRECTORY_TIMEOUT)
        yield declared(REBUILDING, settings.identity_bytes, directory)
    finally:
        following.cancel()
        await asyncio.wait([following])


async def _release(pool: asyncpg.Pool) -> None:
    while await sends.release(pool, RELEASED_AT_ONCE):
        pass
    await blocks.release(pool)


TABLES = LastingTables(PACKAGE, SenderFoldSettings, _folding_again, REBUILDING, NAME, _release, to_the_end=True)
"""`wabus rebuild sender`: the log is folded again over the rows that are there, beside workers that go on sending.

What it brings back is due only once all is folded that came of it: before, a send looks queued that was claimed.
"""


def declared(name: str, key: bytes, directory: Directory) -> Projection:
    """The projection, over accounts that are known."""
    over = name == REBUILDING
    return Projection(name, TOPICS, lambda: _Folding(key, directory, over=over).apply, PACKAGE, erase=erase)


class _Folding:
    """Folds batches of one run."""

    def __init__(self, key: bytes, directory: Directory, *, over: bool) -> None:
        self._over = over
        """Whether it is folded once more, over rows that may be newer."""
        self._directory = directory
        self._ids = Ids(key)
        self._forgotten_as = lru_cache(IDENTITIES_REMEMBERED)(partial(identity_of, key, ContactForgotten))

    @property
    def apply(self) -> Apply:
        return self._apply

    async def _apply(self, records: Sequence[Recorded]) -> Write:
        of_sends = [record for record in records if isinstance(record.event, SendEvent)]
        of_labels = [record.event for record in records if isinstance(record.event, LabelPaused | LabelResumed)]
        of_marks = [
            (record.event, record.partition) for record in records if isinstance(record.event, ReadMarkRequested)
        ]
        of_facts = [record.event for record in records if record.topic in (ACCOUNTS.name, TEMPLATES.name)]
        statuses: list[StatusOfSend] = []
        seen: list[tuple[str, str, Seen]] = []
        choices: list[Choice] = []
        said: list[opt_outs.PossibleChoice] = []
        owners: list[thread_owners.Owner] = []
        copied: list[thread_owners.Owner] = []
        entries: list[free_entries.Entry] = []
        for record in records:
            if record.topic != MESSAGES.name or not isinstance(record.event, WabaEvent):
                continue
            found = list(facts_of(record.event))
            org_id = self._owner(record.event) if found else None
            for fact in found:
                if isinstance(fact, StatusOfSend):
                    statuses.append(fact)
                elif org_id and isinstance(fact, Preferred):
                    choices += [
                        Choice(org_id, fact.phone_number_id, value, fact.stopped, fact.at) for value in _known_by(fact)
                    ]
                elif org_id and isinstance(fact, Handed):
                    owners += [
                        thread_owners.Owner(org_id, fact.phone_number_id, value, fact.ours, fact.at)
                        for value in _known_by(fact)
                    ]
                elif org_id and isinstance(fact, Copied):
                    copied += [
                        thread_owners.Owner(org_id, fact.phone_number_id, value, False, fact.at)
                        for value in _known_by(fact)
                    ]
                elif org_id and isinstance(fact, FreeEntry):
                    entries += [
                        free_entries.Entry(org_id, fact.phone_number_id, value, fact.at, fact.until)
                        for value in _known_by(fact)
                    ]
                elif org_id and isinstance(fact, ShortText):
                    said.append(self._possible_choice(org_id, record.event.waba_id, fact))
                elif org_id and isinstance(fact, Seen):
                    seen.append((org_id, record.event.waba_id, fact))
        opted = [
            opt_outs.Choice(event.org_id, *value, isinstance(event, OptedOut), event.time, event.by)
            for record in records
            if isinstance(event := record.event, OptedOut | OptedIn) and event.org_id
            for value in self._values(event.org_id, event.wa_id, event.user_id)
        ]
        of_blocks = [
            blocks.BlockFact(record.event, record.partition, *named[1:])
            for record in records
            if isinstance(record.event, BlockRequested | ContactBlocked | ContactUnblocked | BlockRefused)
            for named in self._values(record.event.org_id or "", record.event.wa_id, record.event.user_id)[:1]
        ]
        answers = [
            free_entries.Answer(event.org_id, event.phone_number_id, value, event.time)
            for event in (record.event for record in of_sends)
            if isinstance(event, MessageAccepted) and event.org_id
            for value in _known_by(event)
        ]
        changes = [*self._changes(records)]
        persons, holders, wrote, conversations = self._persons(seen, of_sends, changes)
        came_in = [record.event for record in records if isinstance(record.event, MessageReceived)]
        of_experiments = [record.event for record in records if record.topic == INSIGHTS.name]
        of_teams = [record.event for record in records if isinstance(record.event, TeamsChanged)]
        drawn = [each for record in records for each in self._drawn(record.event)]
        links = [*self._moves(records), *self._links(persons)]

        became = [each for _, links in changes for each in links]
        named = {
            (each.org_id, each.value)
            for each in (*wrote, *choices, *owners, *copied, *entries, *answers, *opted, *became)
        }
        named |= {(each.org_id, value) for each in said for value, *_ in each.values}
        named |= {
            (event.org_id, value) for event, *_ in of_blocks if event.org_id and (value := event.wa_id or event.user_id)
        }

        # A batch has mostly a few kinds of events: what asks PostgreSQL for nothing would still wait for its answer.
        async def write(connection: Connection) -> None:
            await facts.write(connection, of_facts, over=self._over)
            await experiments.write(connection, of_experiments)
            await policies.write_sight(connection, of_teams)
            if drawn or links:
                await experiments.write_arms(connection, drawn, links)
            await contacts.write(connection, persons, wrote, conversations)
            await successors.write_holders(connection, holders)
            if choices:
                await contacts.write_choices(connection, choices)
            if owners or copied:
                await thread_owners.write(connection, owners, copied)
            if entries or answers:
                await free_entries.write(connection, entries, answers)
            await opt_outs.hear(connection, said, tells=not self._over)
            if opted:
                await opt_outs.write(connection, opted)
            if became:
                await successors.write(connection, became)
            await blocks.write(connection, of_blocks, over=self._over)
            await heard.write(connection, statuses)
            found = await _write_sends(connection, of_sends, over=self._over)
            await successors.follow(connection, named | found)
            if of_labels:
                await labels.write(connection, of_labels)
            if not self._over:  # nobody waits for one of then, and what came in is counted already
                await numbers.count_arrivals(connection, came_in)
                if of_marks:
                    await read_marks.insert(connection, of_marks)

        return write

    def _drawn(self, event: Event) -> Iterator[InArm]:
        """Who is in which arm, by each of what they are known by."""
        match event:
            case (
                SendRequested(experiment_id=str(found), arm=str(arm), org_id=str(org_id))
                | PersonDrawn(experiment_id=str(found), arm=str(arm), org_id=str(org_id))
            ):
                for value in self._values(org_id, event.to, event.recipient):
                    yield InArm(UUID(found), org_id, *value, arm, event.time)
            case _:
                return

    def _changes(self, records: Sequence[Recorded]) -> Iterator[tuple[ContactIdentityChanged, list[Successor]]]:
        """Who has another number or user id now, with what became of which."""
        for record in records:
            event = record.event
            if not isinstance(event, ContactIdentityChanged) or not (org_id := self._owner(event)):
                continue
            before = event.previous_wa_id and contact_id(event.previous_wa_id)
            after = event.current_wa_id and contact_id(event.current_wa_id)
            became = [(event.previous_user_id, event.current_user_id), (before, after)]
            if before and not event.previous_user_id and not after:
                became = [(before, event.current_user_id)]
            yield event, [Successor(org_id, old, new, event.time) for old, new in became if old and new and old != new]

    def _moves(self, records: Sequence[Recorded]) -> Iterator[Link]:
        """Who has another number or user id now: whoever is in an arm stays in it."""
        for record in records:
            event = record.event
            if not isinstance(event, ContactIdentityChanged) or not (org_id := self._owner(event)):
                continue
            for before in filter(None, (event.previous_wa_id, event.previous_user_id)):
                for after in self._values(org_id, event.current_wa_id, event.current_user_id):
                    yield Link(org_id, contact_id(before), *after)

    def _links(self, persons: Iterable[Contact]) -> Iterator[Link]:
        for each in persons:
            if each.other:
                named = self._forgotten_as(each.other, each.org_id), self._forgotten_as(each.other, "")
                yield Link(each.org_id, each.value, each.other, *named)

    def _possible_choice(self, org_id: str, waba_id: str, fact: ShortText) -> opt_outs.PossibleChoice:
        values = self._values(org_id, fact.wa_id, fact.user_id)
        return opt_outs.PossibleChoice(
            org_id, waba_id, fact.phone_number_id, fact.wa_id, fact.user_id, values, fact.at, fact.wamid, fact.text
        )

    def _values(self, org_id: str, wa_id: str | None, user_id: str | None) -> list[tuple[str, str, str]]:
        """The identifiers of a person, each with the names under which it is forgotten."""
        values = (wa_id and contact_id(wa_id), user_id)
        return [(value, self._forgotten_as(value, org_id), self._forgotten_as(value, "")) for value in values if value]

    def _owner(self, event: WabaEvent) -> str | None:
        return event.org_id or self._directory.owner(event.waba_id, event.time)

    def _persons(
        self,
        seen: Sequence[tuple[str, str, Seen]],
        of_sends: Sequence[Recorded],
        changes: Sequence[tuple[ContactIdentityChanged, list[Successor]]],
    ) -> tuple[list[Contact], list[Holder], list[Wrote], dict[str, tuple[str, str, str]]]:
        persons: dict[tuple[str, str], Contact] = {}
        holders: dict[tuple[str, str, str], datetime] = {}
        wrote: dict[tuple[str, str, str], Wrote] = {}
        conversations: dict[str, tuple[str, str, str]] = {}

        def add(org_id: str, value: str, other: str | None, at: datetime) -> None:
            if other and value.isdigit() and not other.isdigit():
                holders[org_id, value, other] = min(at, holders.get((org_id, value, other), at))
            known = persons.get((org_id, value))
            if known is None:
                named = self._forgotten_as(value, org_id), self._forgotten_as(value, "")
                persons[org_id, value] = Contact(org_id, value, *named, other, at if other else None, at)
                return
            newest = known._replace(at=max(known.at, at))
            if other and (known.other_at is None or (known.other_at, known.other or "") < (at, other)):
                newest = newest._replace(other=other, other_at=at)
            persons[org_id, value] = newest

        for org_id, waba_id, fact in seen:
            number = contact_id(fact.wa_id) if fact.wa_id else None
            for value, other, kind in ((number, fact.user_id, "wa_id"), (fact.user_id, number, "user_id")):
                if not value:
                    continue
                add(org_id, value, other, fact.at)
                conversations |= self._conversation_ids(org_id, waba_id, fact.phone_number_id, value, kind)
                place = (org_id, fact.phone_number_id, value)
                if fact.opens is not Opens.NO or fact.refused:
                    before = wrote.get(place)
                    sure = fact.at if fact.opens is Opens.YES else None
                    maybe = fact.at if fact.opens is Opens.MAYBE else None
                    wrote[place] = Wrote(
                        *place,
                        latest(sure, before and before.user_last_at),
                        latest(maybe, before and before.maybe_at),
                        _later_wamid(before, sure, fact.wamid),
                        latest(fact.at if fact.refused else None, before and before.refused_at),
                    )
        for event, links in changes:
            org_id = self._owner(event) or ""
            for wa_id, user_id, at in (
                (event.previous_wa_id, event.previous_user_id, event.time - JUST_BEFORE),
                (event.current_wa_id, event.current_user_id, event.time),
            ):
                number = wa_id and contact_id(wa_id)
                for value, other in ((number, user_id), (user_id, number)):
                    if value and links:
                        add(org_id, value, other, at)
        for record in of_sends:
            event = record.event
            if isinstance(event, SendRequested) and event.org_id:
                for value, other in ((event.to, event.recipient), (event.recipient, event.to)):
                    if value:
                        add(event.org_id, value, other, event.time)
        held = [Holder(*who, first_at) for who, first_at in holders.items()]
        return list(persons.values()), held, list(wrote.values()), conversations

    def _conversation_ids(
        self, org_id: str, waba_id: str, phone_number_id: str, value: str, kind: str
    ) -> dict[str, tuple[str, str, str]]:
        """The ids that a conversation with this person may have: a portfolio may have become known later."""
        account = self._directory.account(waba_id)
        portfolios = {waba_id, (account and account.portfolio_id) or waba_id}
        kinds: Kind = "user_id" if kind == "user_id" else "wa_id"
        persons = (self._ids.identifier(f"{org_id}\x1f{portfolio}", kinds, value) for portfolio in portfolios)
        place = org_id, phone_number_id, value
        return {self._ids.conversation(org_id, phone_number_id, person): place for person in persons}


def _later_wamid(before: Wrote | None, at: datetime | None, wamid: str | None) -> str | None:
    """The message that was written last of those in a batch."""
    if before is None or before.user_last_at is None:
        return wamid if at else before and before.wamid
    return wamid if at and wamid and at >= before.user_last_at else before.wamid


def _known_by(told: Preferred | Handed | Copied | FreeEntry | MessageAccepted) -> list[str]:
    """The number, as contacts have it, and the user id that it names."""
    return [value for value in (told.wa_id and contact_id(told.wa_id), told.user_id) if value]


async def _write_sends(connection: Connection, records: Sequence[Recorded], *, over: bool) -> set[tuple[str, str]]:
    """Fold what is told of sends; those of whom it says something, as organisation and identifier."""
    if not records:
        return set()
    asked = [
        Asked(record.event, record.partition, record.offset)
        for record in records
        if isinstance(record.event, SendRequested)
    ]
    await sends.insert(connection, asked, over=over)
    others = [record.event for record in records if not isinstance(record.event, SendRequested)]
    named = await _fold_events(connection, others)
    of_numbers = {event.phone_number_id for record in records if isinstance(event := record.event, SendEvent)}
    await connection.execute("SELECT pg_notify($1, number) FROM unnest($2::text[]) AS number", DUE, sorted(of_numbers))
    return named


async def _fold_events(connection: Connection, events: Sequence[Event]) -> set[tuple[str, str]]:
    """Fold events into the sends that are there: what nobody asked for, or was forgotten, stays away.

    Those of whom refusals say something, as organisation and identifier.
    """
    told: dict[str, list[SendEvent]] = {}
    for event in events:
        if isinstance(event, SendEvent):
            told.setdefault(event.send_id, []).append(event)
    if not told:
        return set()
    # Mostly a claim is told that the row has already: then there is nothing to write.
    known = await sends.known(connection, told)
    changing = [send_id for send_id, send in known.items() if reduce(fold, told[send_id], send) != send]
    if changing:
        before = await sends.locked(connection, changing)
        after = {send_id: reduce(fold, told[send_id], send) for send_id, send in before.items()}
        newest = {send_id: max(event.time for event in told[send_id]) for send_id in after}
        await sends.update(connection, {send_id: (send, newest[send_id]) for send_id, send in after.items()})
    named: set[tuple[str, str]] = set()
    refused = [event for event in events if isinstance(event, SendRefused)]
    if unwanted := {event.send_id: event.time for event in refused if event.error_code == STOPPED}:
        named |= await contacts.take_refusals(connection, unwanted)
    if closed := {event.send_id: event.time for event in refused if event.error_code == REFUSED}:
        named |= await contacts.take_closed_windows(connection, closed)
    return named
