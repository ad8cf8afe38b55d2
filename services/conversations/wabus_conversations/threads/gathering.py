"""What a batch of facts is for the tables: each identifier, message, status and notice once, joined, by its key."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from wabus_conversations.threads import rows
from wabus_conversations.threads.facts import (
    NOBODY,
    Account,
    BecameFact,
    BookFact,
    ContactFact,
    Fact,
    HistoryFact,
    MediumFact,
    MessageFact,
    SameFact,
    Source,
    StatusFact,
    Whose,
)
from wabus_conversations.threads.ids import Ids, Kind
from wabus_conversations.threads.rows import Message, Status


class Identifier(NamedTuple):
    """Something that a person is known by."""

    org_id: str
    scope: str
    kind: Kind
    value: str


class Explicit(NamedTuple):
    """A row of `identity_evidence`."""

    kind: str
    """together (a number, a user id), became (two user ids), moved (a number, its next or a user id), same."""
    first: str
    second: str
    at: datetime


@dataclass(slots=True)
class Batch:
    """What some records are for the tables."""

    identifiers: dict[str, Identifier] = field(default_factory=dict[str, Identifier])
    seen: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """When each of them was seen first."""
    pairs: dict[tuple[str, str], datetime] = field(default_factory=dict[tuple[str, str], datetime])
    """A number and a user id that were together, and when first."""
    evidence: set[Explicit] = field(default_factory=set[Explicit])
    alone: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Numbers that came without a user id, and when first: whose they are depends on the time."""
    messages: dict[str, Message] = field(default_factory=dict[str, Message])
    statuses: dict[tuple[str, str, str], Status] = field(default_factory=dict[tuple[str, str, str], Status])
    books: dict[str, tuple[datetime, str, str]] = field(default_factory=dict[str, tuple[datetime, str, str]])
    """Names in the address book of the phone app, and of which account; an empty one is none."""
    contact_facts: dict[tuple[str, str, str], tuple[datetime, bytes, Account]] = field(
        default_factory=dict[tuple[str, str, str], tuple[datetime, bytes, Account]]
    )
    """By number, identifier and fact: when, what, and of which account."""
    histories: dict[tuple[str, str, int], tuple[datetime, int, int, str]] = field(
        default_factory=dict[tuple[str, str, int], tuple[datetime, int, int, str]]
    )
    """By organisation, number and phase: when, how far, the last chunk, -1 where it is not known, and the account."""
    media: set[str] = field(default_factory=set[str])
    """Messages of which the medium is another now."""
    gone: set[str] = field(default_factory=set[str])
    """Messages that are not kept: nothing of them is, whatever comes."""
    of_account: dict[tuple[Account, Whose], Whose] = field(default_factory=dict[tuple[Account, Whose], Whose])
    """The ids of identifiers, as an account has them together; those of people of whom nobody was ever forgotten."""
    forgotten: dict[tuple[str, str], datetime] = field(default_factory=dict[tuple[str, str], datetime])
    """By organisation and number or user id: up to when nothing of theirs is kept, which was not known.

    Something of before named them together with somebody who was forgotten.
    """


def _never(_: Account) -> None:
    return None


class Rules(NamedTuple):
    """What is kept, and whose it is."""

    ids: Ids
    scope: Callable[[Account], str]
    """In which portfolio or account an identifier means one person."""
    started_at: datetime
    """The first start of the service."""
    kept_from: Callable[[Account], datetime]
    """What is older by Meta's time is not kept."""
    forgotten_at: Callable[[str, str], datetime | None]
    """By organisation and number or user id: up to when, by Meta's time, nothing of theirs is kept."""
    search: bool = True
    """Whether texts are kept to be found."""
    forgotten_until: Callable[[Account], datetime | None] = _never
    """Up to when nothing is kept of an account: it was forgotten, or its organisation."""


def gather(facts: Iterable[Fact], rules: Rules, gone: frozenset[str] = frozenset()) -> Batch:
    """Join facts at once: see `Gathering`."""
    gathering = Gathering(rules, gone)
    gathering.add(facts)
    return gathering.batch()


class Gathering:
    """Joins facts by what they are about. Those that were erased, or are too old, leave only that they are gone.

    Of messages that are `gone` already nothing is kept: not even whose they were.
    """

    def __init__(self, rules: Rules, gone: frozenset[str] = frozenset()) -> None:
        self._rules = rules
        self._gone = gone
        self._facts: list[Fact] = []
        self._batch = Batch()

    def add(self, facts: Iterable[Fact]) -> None:
        """Join some more."""
        known = len(self._facts)
        self._facts += facts
        _gather(self._batch, self._facts[known:], self._rules, self._gone)

    def batch(self) -> Batch:
        """What all of them are; none is added after that."""
        batch = self._batch
        if found := batch.gone:
            # Other facts of the same messages have named people whom nobody knows.
            forgotten, batch = batch.forgotten, Batch()
            _gather(batch, self._facts, self._rules, self._gone | found)
            batch.gone |= found
            batch.forgotten |= forgotten
        return batch


def _gather(batch: Batch, facts: Iterable[Fact], rules: Rules, gone: frozenset[str]) -> None:
    for fact in facts:
        if isinstance(fact, StatusFact):
            if fact.message_id not in gone:
                _add_status(batch, fact, rules)
        elif isinstance(fact, MessageFact):
            if fact.message_id not in gone:
                _add_message(batch, fact, rules)
        elif not _is_not_kept(fact, rules):
            _add_other(batch, fact, rules)


def _is_not_kept(fact: "_OtherFact", rules: Rules) -> bool:
    if isinstance(fact, BookFact | HistoryFact):
        # An address book is as old as its names are, and says so: they are no older for that.
        until = rules.forgotten_until(fact.account)
        return until is not None and fact.at <= until
    return fact.at < rules.kept_from(fact.account)


def _add_message(batch: Batch, fact: MessageFact, rules: Rules) -> None:
    whose = None if fact.at < rules.kept_from(fact.account) else _identified(batch, fact, fact.whose, rules)
    if whose is None:
        batch.gone.add(fact.message_id)
        return
    if not rules.search and fact.text is not None:
        fact = fact._replace(text=None)
    message = rows.of_fact(fact, whose, rules.started_at)
    held = batch.messages.get(fact.message_id)
    batch.messages[fact.message_id] = join(batch, held, message) if held else message


def join(batch: Batch, one: Message, other: Message) -> Message:
    """What stands of two sources of one message. What only the other says of identifiers stays as evidence.

    Not of one that is known by statuses alone: each of them may have named one of the two, and they stay.
    """
    best = rows.better(one, other)
    for each in (one, other):
        number, user = each.whose
        if each.source > Source.STATUS and number and user and (each.whose, each.at) != (best.whose, best.at):
            batch.evidence.add(Explicit("together", number, user, each.at))
    return best


def _add_status(batch: Batch, fact: StatusFact, rules: Rules) -> None:
    if fact.at < rules.kept_from(fact.account):
        return
    whose = _identified(batch, fact, fact.whose, rules)
    if whose is None:
        if not fact.group_id:
            batch.gone.add(fact.message_id)
        return
    key = fact.message_id, fact.participant, fact.status
    held = batch.statuses.get(key)
    status = Status(fact, whose)
    if held is None or _order(status) < _order(held):
        batch.statuses[key] = status


def _order(status: Status) -> tuple[datetime, bool, bytes]:
    """Which of two that tell the same status stands: the earlier one; else that which names number and user id."""
    return status.fact.at, not all(status.whose), status.fact.content


_OtherFact = BecameFact | SameFact | BookFact | ContactFact | MediumFact | HistoryFact


def _add_other(batch: Batch, fact: _OtherFact, rules: Rules) -> None:
    match fact:
        case MediumFact():
            batch.media.add(fact.message_id)
        case BecameFact():
            _add_became(batch, fact, rules)
        case SameFact():
            whose = _identified(batch, fact, fact.whose, rules)
            own = _identified(batch, fact, Whose(fact.wa_id, None), rules)
            if whose and own and own.wa_id:
                if whose.user_id:
                    batch.evidence.add(Explicit("together", own.wa_id, whose.user_id, fact.at))
                    _pair(batch, own.wa_id, whose.user_id, fact.at)
                elif whose.wa_id and whose.wa_id != own.wa_id:
                    first, second = sorted((whose.wa_id, own.wa_id))
                    batch.evidence.add(Explicit("same", first, second, fact.at))
            elif whose is None or own is None:
                _forget_all(batch, fact, (*fact.whose, fact.wa_id), rules)
        case BookFact():
            whose = _identified(batch, fact, fact.whose, rules)
            if whose:
                _together(batch, whose, fact.at)
                for identifier in filter(None, whose):
                    name = fact.at, fact.name or "", fact.account.waba_id
                    batch.books[identifier] = max(batch.books.get(identifier, name), name)
        case ContactFact():
            whose = _identified(batch, fact, fact.whose, rules)
            identifier = whose and (whose.user_id or whose.wa_id)
            if whose and identifier:
                _together(batch, whose, fact.at)
                key = fact.account.phone_number_id, identifier, fact.fact
                value = fact.at, fact.value, fact.account
                batch.contact_facts[key] = max(batch.contact_facts.get(key, value), value)
        case HistoryFact():
            key = fact.account.org_id, fact.account.phone_number_id, fact.phase
            progress, chunk = (-1 if part is None else part for part in (fact.progress, fact.chunk_order))
            waba_id = fact.account.waba_id
            held = batch.histories.get(key, (fact.at, progress, chunk, waba_id))
            newest = max(held[0], fact.at), max(held[1], progress), max(held[2], chunk)
            batch.histories[key] = *newest, max(held[3], waba_id)


def _add_became(batch: Batch, fact: BecameFact, rules: Rules) -> None:
    """What is known of who somebody was and of who they are now; either may be a number, a user id, or both."""
    before = _identified(batch, fact, fact.before, rules)
    after = _identified(batch, fact, fact.after, rules)
    if before is None or after is None:
        _forget_all(batch, fact, (*fact.before, *fact.after), rules)
        return
    _together(batch, before, fact.at)
    _together(batch, after, fact.at)
    if before.user_id and after.user_id and before.user_id != after.user_id:
        batch.evidence.add(Explicit("became", before.user_id, after.user_id, fact.at))
    if before.wa_id and after.wa_id and before.wa_id != after.wa_id:
        batch.evidence.add(Explicit("moved", before.wa_id, after.wa_id, fact.at))
    elif before.wa_id and after.user_id and not after.wa_id and not before.user_id:
        batch.evidence.add(Explicit("moved", before.wa_id, after.user_id, fact.at))
    elif before.user_id and after.wa_id and not before.wa_id and not after.user_id:
        batch.evidence.add(Explicit("together", after.wa_id, before.user_id, fact.at))
        _pair(batch, after.wa_id, before.user_id, fact.at)


def _together(batch: Batch, whose: Whose, at: datetime) -> None:
    if whose.wa_id and whose.user_id:
        batch.evidence.add(Explicit("together", whose.wa_id, whose.user_id, at))


def _identified(batch: Batch, fact: Fact, whose: Whose, rules: Rules) -> Whose | None:
    """The ids of identifiers; None where one of them was erased up to a later moment."""
    if whose == NOBODY:
        return NOBODY
    found = batch.of_account.get((fact.account, whose))
    if found is None:
        found = _hashed(batch, fact, whose, rules)
        if found is None:
            _forget_all(batch, fact, whose, rules)
            return None
    number, user = found
    at, seen_before = fact.at, batch.seen.get
    if number and ((seen := seen_before(number)) is None or at < seen):
        batch.seen[number] = at
    if user and ((seen := seen_before(user)) is None or at < seen):
        batch.seen[user] = at
    if number and user:
        _pair(batch, number, user, at)
    elif number:
        batch.alone[number] = min(at, batch.alone.get(number, at))
    return found


def _hashed(batch: Batch, fact: Fact, whose: Whose, rules: Rules) -> Whose | None:
    scope, org_id = rules.scope(fact.account), fact.account.org_id
    number = whose.wa_id and _identifier(batch, fact, scope, "wa_id", whose.wa_id, rules)
    user = whose.user_id and _identifier(batch, fact, scope, "user_id", whose.user_id, rules)
    if (whose.wa_id and not number) or (whose.user_id and not user):
        return None
    found = Whose(number, user)
    if not any(value and rules.forgotten_at(org_id, value) for value in whose):
        batch.of_account[fact.account, whose] = found
    return found


def _identifier(batch: Batch, fact: Fact, scope: str, kind: Kind, value: str, rules: Rules) -> str | None:
    identifier = rules.ids.identifier(scope, kind, value)
    if until := rules.forgotten_at(fact.account.org_id, value):
        if fact.at <= until:
            return None
        identifier = rules.ids.after_erasure(identifier, until)
    if identifier not in batch.identifiers:
        batch.identifiers[identifier] = Identifier(fact.account.org_id, scope, kind, value)
    return identifier


def _forget_all(batch: Batch, fact: Fact, values: Iterable[str | None], rules: Rules) -> None:
    """Whoever was forgotten by one of these is forgotten by all of them."""
    org_id = fact.account.org_id
    named = {value: rules.forgotten_at(org_id, value) for value in values if value}
    until = max(line for line in named.values() if line and fact.at <= line)
    for value, line in named.items():
        if line is None or line < until:
            batch.forgotten[org_id, value] = max(until, batch.forgotten.get((org_id, value), until))


def _pair(batch: Batch, number: str, user: str, at: datetime) -> None:
    first = batch.pairs.get((number, user))
    if first is None or at < first:
        batch.pairs[number, user] = at
