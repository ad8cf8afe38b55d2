"""Records become messages, and messages counts, in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from typing import cast, get_args

from wabus_events import (
    ContactForgotten,
    Event,
    MarketingPreferenceChanged,
    MessageAccepted,
    MessageReceived,
    MessageReported,
    MessageStatusChanged,
    OptedOut,
    SendRequested,
    SendSettled,
    TemplateChanged,
    TemplateRemoved,
    contact_id,
    identity_of,
)
from wabus_runtime.directory.connections import Connections
from wabus_runtime.directory.directory import Directory
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Recorded, Write, in_turns
from wabus_whatsapp.ids import Ids

from wabus_insights.costs.budget import local_day
from wabus_insights.performance.attribution import Act, Template, attributed
from wabus_insights.performance.counting import Tally
from wabus_insights.performance.facts import (
    NOBODY,
    Acted,
    Asked,
    Fact,
    Person,
    Reported,
    Taken,
    Who,
    facts_of,
    with_asked,
)
from wabus_insights.performance.message import FOLLOWS, Message, is_lost, join
from wabus_insights.tables.performance import counts, insights, messages, people, since, templates
from wabus_insights.tables.performance.messages import Change
from wabus_insights.tables.performance.people import Named

IDENTITIES_REMEMBERED = 50_000
_Counting = (
    MessageStatusChanged | MessageReceived | SendRequested | MessageAccepted | MessageReported | SendSettled
    | MarketingPreferenceChanged | OptedOut
)  # fmt: skip
_COUNTING = frozenset(get_args(_Counting))
"""By type, for to ask a model whether it is one takes long."""
_UNKNOWN_SINCE = datetime(1970, 1, 1, tzinfo=UTC)


class _Batch:
    """What some records tell, that of one message joined."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.taken: list[Taken] = []
        self.told: dict[str, Message] = {}
        self.acts: list[Acted] = []
        self.templates: list[templates.Template] = []
        self.by_meta: list[insights.InsightsEvent] = []
        self.named: dict[str, Named] = {}
        """All people that these facts may be about."""
        self._lost: list[tuple[Who, datetime]] = []

    def add(self, found: Iterable[Fact]) -> None:
        for fact in found:
            # What there is most of comes first, and is asked for by its type: a pattern takes ten times as long.
            if type(fact) is Reported:
                message = fact.message
                if fact.who is not NOBODY and any(fact.who):
                    self._lost.append((fact.who, message.at))
                held = self.told.get(message.message_id)
                self.told[message.message_id] = join(held, message) if held else message
            elif type(fact) is Taken:
                self.taken.append(fact)
            elif type(fact) is Asked:
                self.asked.append(fact)
            elif type(fact) is Acted and any(fact.who):
                self.acts.append(fact)

    def whom(self) -> Iterable[tuple[Who, datetime]]:
        yield from ((act.who, act.at) for act in self.acts)
        yield from self._lost
        yield from (
            (taken.who, taken.message.at)
            for taken in self.taken
            if taken.message.acceptance and taken.message.acceptance.kind == "template"
        )


class Performance:
    """Folds what messages achieve. `key` makes the names of people."""

    def __init__(self, key: bytes, directory: Directory | Connections) -> None:
        self._directory = directory
        self._contact_id = lru_cache(IDENTITIES_REMEMBERED)(contact_id)
        self._named = lru_cache(IDENTITIES_REMEMBERED)(partial(_named, key))

    async def apply(self, records: Sequence[Recorded]) -> Write:
        """What writes these records, in the transaction that moves the offsets."""
        batch = _Batch()
        person = partial(self._person, batch.named)
        async for some in in_turns(records):
            for record in some:
                self._take_in(record.event, batch, person)
        asked, whom = messages.rows_of_asked(batch.asked), people.rows_of(_people(batch))

        async def write(connection: Connection) -> None:
            await write_batch(connection, batch, asked, whom)
            if batch.templates:
                await templates.write(connection, batch.templates)
            for event in batch.by_meta:
                await insights.take_in(connection, event)

        return write

    def _take_in(self, event: Event, batch: _Batch, person: Person) -> None:
        if type(event) in _COUNTING:
            counting = cast(_Counting, event)
            org_id = counting.org_id or self._directory.owner(counting.waba_id, counting.time)
            if org_id:
                batch.add(facts_of(counting, org_id, person, self._day))
        elif isinstance(event, TemplateChanged | TemplateRemoved):
            batch.templates.append(_template(event))
        elif isinstance(event, insights.InsightsEvent):
            batch.by_meta.append(event)

    def _day(self, waba_id: str, at: datetime) -> date:
        account = self._directory.account(waba_id)
        return local_day(at, account.time_zone if account else None)

    def _person(self, named: dict[str, Named], org_id: str, wa_id: str | None, user_id: str | None) -> Who:
        number = self._name(named, org_id, self._contact_id(wa_id)) if wa_id else None
        return Who(number, self._name(named, org_id, user_id) if user_id else None)

    def _name(self, named: dict[str, Named], org_id: str, value: str) -> str:
        found = self._named(org_id, value)
        named[found.person] = found
        return found.person


def _named(key: bytes, org_id: str, value: str) -> Named:
    person = Ids(key).identifier(org_id, "wa_id", value)
    here, everywhere = (identity_of(key, ContactForgotten, value, owner) for owner in (org_id, ""))
    return Named(person, org_id, here, everywhere)


def _people(batch: _Batch) -> dict[Named, datetime]:
    """Whom the facts are about that may change for which template something counts."""
    found: dict[str, datetime] = {}
    for who, at in batch.whom():
        for person in who:
            if person:
                known = found.get(person)
                found[person] = at if known is None or known < at else known
    return {batch.named[person]: at for person, at in found.items()}


async def write_batch(connection: Connection, batch: _Batch, asked: str | None, whom: str | None) -> None:
    """Write a batch, and by how much it changes the counts. Rows of what was asked, and of whom, are made already."""
    counted_since = await since.read(connection)
    if asked:
        await messages.insert_asked(connection, asked)
    parts = await _parts(connection, batch, counted_since)
    acts = [act for act in batch.acts if act.at >= counted_since]
    if whom:
        await people.hold(connection, whom)
    tally = Tally()
    changes = await _write_messages(connection, parts)
    for before, after in changes:
        tally.change(before, after)
    if acts:
        await people.insert_acts(connection, acts)
    await _attribute(connection, changes, acts, tally)
    await counts.add(connection, tally)
    await templates.write_names(connection, _names(changes))


async def _parts(connection: Connection, batch: _Batch, counted_since: datetime) -> dict[str, Message]:
    """What is told of each message, but for those that were counted before and are gone."""
    send_ids = [taken.send_id for taken in batch.taken if taken.send_id]
    asked = await messages.asked_for(connection, send_ids) if send_ids else {}
    parts = dict(batch.told)
    for taken in batch.taken:
        message = with_asked(taken, asked.get(taken.send_id) if taken.send_id else None)
        held = parts.get(message.message_id)
        parts[message.message_id] = join(held, message) if held else message
    return {name: part for name, part in sorted(parts.items()) if part.at >= counted_since}


async def _write_messages(connection: Connection, parts: Mapping[str, Message]) -> list[Change]:
    """Join parts to the messages that are there; returns those that are other than they were."""
    if not parts:
        return []
    held = await messages.locked(connection, list(parts))
    changes = _changes(held, parts)
    added = [after for before, after in changes if before is None]
    if added:
        written = await messages.insert(connection, added)
        if len(written) < len(added):  # somebody else has written them in between
            missed = {after.message_id: parts[after.message_id] for after in added if after.message_id not in written}
            changes = [change for change in changes if change.after.message_id not in missed]
            changes += _changes(await messages.locked(connection, list(missed)), missed)
    await messages.update(connection, [change for change in changes if change.before is not None])
    return changes


def _changes(held: Mapping[str, Message], parts: Mapping[str, Message]) -> list[Change]:
    changes = (
        Change(before, join(before, part) if before else part)
        for name, part in parts.items()
        for before in (held.get(name),)
    )
    return [change for change in changes if change.before != change.after]


async def _attribute(connection: Connection, changes: Sequence[Change], acts: Sequence[Acted], tally: Tally) -> None:
    """Work out anew what counts for which template, of all people of whom something new is known."""
    new = {name for act in acts for name in act.who if name}
    for before, after in changes:
        if not after.acceptance or not after.acceptance.template_id:
            continue
        was_lost = before is not None and is_lost(before.bits)
        if before is None or before.acceptance != after.acceptance or was_lost != is_lost(after.bits):
            new |= {name for name in (after.acceptance.number_id, after.acceptance.user_id) if name}
    if not new:
        return
    # Where nobody has done anything, nothing counts for any template, and nothing changes for one before.
    did = await people.acts_of(connection, sorted(new))
    sent: dict[str, Message] = {}
    done: set[Act] = set(did)
    seen: set[str] = set()
    new = {name for act in did for name in (act.number_id, act.user_id) if name}
    while new:
        seen |= new
        found = await messages.templates_to(connection, sorted(new))
        did = await people.acts_of(connection, sorted(new))
        sent |= {message.message_id: message for message in found}
        done |= set(did)
        linked = {name for act in did for name in (act.number_id, act.user_id) if name}
        linked |= {name for each in found if (a := each.acceptance) for name in (a.number_id, a.user_id) if name}
        new = linked - seen
    wanted = attributed(
        [
            Template(each.message_id, a.at, each.phone_number_id, a.number_id, a.user_id, is_lost(each.bits))
            for each in sent.values()
            if (a := each.acceptance)
        ],
        done,
    )
    other = sorted(name for name, bits in wanted.items() if sent[name].bits & FOLLOWS != bits)
    if other:
        held = await messages.locked(connection, other)
        follows = [Change(each, each._replace(bits=each.bits & ~FOLLOWS | wanted[name])) for name, each in held.items()]
        await messages.update(connection, follows)
        for before, after in follows:
            tally.change(before, after)


def _names(changes: Iterable[Change]) -> Iterable[templates.Template]:
    for before, message in changes:
        known = message.acceptance
        if known and known.template_id and known.name and not (before and before.acceptance):
            yield templates.Template(
                message.waba_id, known.template_id, known.name, known.language, "", "", None, _UNKNOWN_SINCE, None
            )


def _template(event: TemplateChanged | TemplateRemoved) -> templates.Template:
    match event:
        case TemplateChanged(template=told):
            return templates.Template(
                event.waba_id, told.template_id, told.name, told.language, told.category, told.status, told.quality,
                event.time, None,
            )  # fmt: skip
        case TemplateRemoved():
            return templates.Template(
                event.waba_id, event.template_id, event.name, event.language, "", "", None, event.time, event.time
            )
