"""Which identifiers of a batch are whose already, and for which of them that has to be worked out anew.

A cluster is all that Meta ever linked, whenever. Nearly always it is one person, with a number, a user id or both, and
nothing new is said of it: then a look suffices. Everything else is settled with all evidence at hand (`People`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from wabus_whatsapp.identity import Became, Evidence, Moved, People, Same, Seen, Together

from wabus_conversations.threads.gathering import Batch, Explicit


class KnownIdentifier(NamedTuple):
    """What the table has of an identifier."""

    kind: str
    cluster: str
    person_id: str
    """Whose it was first."""
    holder_id: str
    """Whose it is now."""
    first_seen: datetime
    paired: str | None
    """Of a number: the user id that it came with last, and since when it came with no other."""
    paired_at: datetime | None
    contested: bool
    """Of a number: whether it may have been several persons' in turn, so that whose it is depends on each item."""
    scope: str

    def is_clear(self, at: datetime) -> bool:
        """Whether a number is its holder's at that moment, and nothing that is told of it changes that."""
        return not self.contested or (self.paired_at is not None and at >= self.paired_at)


class New(NamedTuple):
    """An identifier that is not in the table yet."""

    identifier_id: str
    cluster: str
    person_id: str
    first_seen: datetime
    paired: str | None
    paired_at: datetime | None


@dataclass(slots=True)
class Plan:
    """What to do with the identifiers of a batch."""

    new: list[New] = field(default_factory=list[New])
    earlier: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Identifiers that were seen earlier than was known, which changes nothing else."""
    paired_earlier: dict[str, datetime] = field(default_factory=dict[str, datetime])
    unsettled: set[str] = field(default_factory=set[str])
    persons: dict[str, str] = field(default_factory=dict[str, str])
    """Whose each is; of one that is unsettled, until it is settled."""


def plan(batch: Batch, known: Mapping[str, KnownIdentifier]) -> Plan:
    """Sort the identifiers of a batch into those that are clear, those that are new, and those to settle."""
    made = Plan()
    numbers = Counter(number for number, _ in batch.pairs)
    users = Counter(user for _, user in batch.pairs)
    in_new_pair: set[str] = set()
    for (number, user), at in batch.pairs.items():
        has = known.get(number)
        if has is None and user not in known and numbers[number] == 1 and users[user] == 1:
            in_new_pair.update((number, user))
            _add_pair(made, batch, number, user, at)
        elif has and has.paired == user and has.is_clear(at):
            if has.paired_at and at < has.paired_at:
                made.paired_earlier[number] = at
        else:
            made.unsettled.update((number, user))
    for each in batch.evidence:
        if each.kind != "together":
            made.unsettled.update((each.first, each.second))
    for identifier, seen in batch.seen.items():
        has = known.get(identifier)
        if has is None:
            if identifier not in in_new_pair:
                made.new.append(New(identifier, identifier, identifier, seen, None, None))
                made.persons[identifier] = identifier
            continue
        made.persons[identifier] = has.holder_id
        if identifier in batch.alone and not has.is_clear(batch.alone[identifier]):
            made.unsettled.add(identifier)
        if seen < has.first_seen:
            made.earlier[identifier] = seen
            if identifier != has.person_id and not _stays(batch, known, has, identifier, seen):
                made.unsettled.add(identifier)
    return made


def _add_pair(made: Plan, batch: Batch, number: str, user: str, at: datetime) -> None:
    number_seen, user_seen = batch.seen[number], batch.seen[user]
    person = number if number_seen < user_seen else user
    made.new.append(New(user, user, person, user_seen, None, None))
    made.new.append(New(number, user, person, number_seen, user, at))
    made.persons[number] = made.persons[user] = person


def _stays(
    batch: Batch, known: Mapping[str, KnownIdentifier], has: KnownIdentifier, identifier: str, seen: datetime
) -> bool:
    """Whether a person keeps the name, though another identifier of theirs was seen earlier than was known."""
    named = known.get(has.person_id)
    if named is None:
        return False
    named_seen = min(named.first_seen, batch.seen.get(has.person_id, named.first_seen))
    return (named_seen, named.kind != "user_id", has.person_id) < (seen, has.kind != "user_id", identifier)


def evidence_of(explicit: Iterable[Explicit], users: set[str]) -> list[Evidence]:
    """Rows of `identity_evidence` as evidence; `users` says which identifiers are user ids."""
    found: list[Evidence] = []
    for kind, first, second, at in explicit:
        match kind:
            case "together":
                found.append(Together(at, first, second))
            case "became":
                found.append(Became(at, first, second))
            case "moved" if second in users:
                found.append(Moved(at, first, to_user=second))
            case "moved":
                found.append(Moved(at, first, to_number=second))
            case _:
                found.append(Same(at, first, second))
    return found


def needs_every_item(evidence: Iterable[Evidence]) -> set[str]:
    """The numbers that were moved, or came with user ids of which it is not known that they are one person's.

    Whose such a number is at a moment depends on each item that ever named it.
    """
    together: dict[str, set[str]] = {}
    others: list[Evidence] = []
    for each in evidence:
        if isinstance(each, Together):
            together.setdefault(each.number, set()).add(each.user)
        else:
            others.append(each)
    some = datetime.min.replace(tzinfo=UTC)
    seen = {user: Seen(some, True) for users in together.values() for user in users}
    same = People([each for each in others if isinstance(each, Became)], seen)
    moved = {number for each in others if isinstance(each, Moved | Same) for number in _numbers(each)}
    return moved | {number for number, users in together.items() if len({same.first(user) for user in users}) > 1}


def _numbers(evidence: Moved | Same) -> list[str]:
    numbers = [evidence.number, evidence.to_number if isinstance(evidence, Moved) else evidence.other]
    return [number for number in numbers if number]
