"""Values that hold many items: each item gets a value of its own, Meta's with only this one in it. Pure, and linear."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict, cast

from pydantic import ValidationError

from wabus_events.models.event import Event, fact_id
from wabus_events.models.messages.messages import is_number
from wabus_events.webhooks.about import About, unrecognised
from wabus_events.webhooks.values import BSUID, Json, digest, items_of, moment, number_of, object_of, text

PARTICIPANT_IDS = ("recipient_participant_id", "recipient_participant_user_id", "participant_recipient_id")
"""Members of a group's status that say whose it is, the first first: a number, what Meta gives instead of it, and the
number's name in older examples."""
SMALL_STEPS = 250  # parts of a value that are looked at before others get their turn

_PEOPLE = (
    *("from", "from_user_id", "to", "to_user_id", "recipient_id", "recipient_user_id", *PARTICIPANT_IDS),
    *("wa_id", "user_id"),
)
"""Members of an item that say which of the value's contacts are its own."""
_MOST_CONTACTS = 10  # of one person: Meta sends one, and to repeat many with each item would not be linear
_NO_GROUPS = ("@lid", "@broadcast")  # in the phone app: a person without a number, and what nobody in particular gets
_SHARED = ("messaging_product", "metadata")  # small parts of a value that every item's value repeats

Item = tuple[str, Any, Json]
"""The list that an item is in, the item, and the value of its own."""
Make = Callable[[str, Any, Json], Iterable[Event | None]]
"""What makes the events of an item, None for a pause; raises one of `UNFIT` where it lacks what they need."""
UNFIT = (KeyError, TypeError, AttributeError, ValidationError)
LEFT = "parts that belong to no single message"


class Person(NamedTuple):
    """Who an item is about, as far as Meta says it."""

    contact: str
    """Their number, or what Meta gives instead of it; empty where it says neither."""
    user_id: str | None
    parent_user_id: str | None
    username: str | None


def each_in(value: Json, kinds: Sequence[str], about: About, field: str, make: Make) -> Iterator[Event | None]:
    """The events of each item in the lists `kinds`; what does not fit, or belongs to no single item, is kept whole."""
    if not any(items_of(value, kind) for kind in kinds):
        yield from unrecognised(value, about, field, lacking(field))
        return
    apart = items_apart(value, kinds)
    while True:
        try:
            found = next(apart)
        except StopIteration as end:
            left: Json = end.value
            break
        if found is None:
            yield
            continue
        kind, item, own = found
        try:
            yield from make(kind, item, own)
        except UNFIT:
            yield from unrecognised(own, about, field, f"one of {kind} without what its model needs")
    if left:
        yield from unrecognised(left, about, field, LEFT)


def lacking(field: str) -> str:
    """Why a field's value is kept whole although the field has a model."""
    return f"a {field[:64]} without what its model needs"


def items_apart(value: Json, kinds: Sequence[str]) -> Generator[Item | None, None, Json]:
    """Each item with a value of its own, which is Meta's untouched where it is the only one; None for a pause.

    Returns what belongs to no single item, with what all share; empty where there is none.
    """
    lists = [(kind, items) for kind in kinds if (items := items_of(value, kind))]
    if len(lists) == 1 and len(lists[0][1]) == 1:
        kind, (item,) = lists[0]
        yield kind, item, value
        return {}
    contacts = items_of(value, "contacts")
    taken = {*kinds, "contacts"}
    rest = {key: part for key, part in value.items() if key not in taken or not isinstance(part, list)}
    # What belongs to no single item goes into an event of its own, not into each: that keeps it linear.
    left = {key: part for key, part in rest.items() if key not in _SHARED}
    shared = {key: part for key, part in rest.items() if key in _SHARED}
    by_id = yield from _by_id(contacts)
    used: set[int] = set()
    for kind, items in lists:
        for item in items:
            whose = _whose(item, by_id)
            used.update(whose)
            yield (
                kind,
                item,
                {**shared, **({"contacts": [contacts[number] for number in whose]} if whose else {}), kind: [item]},
            )
    if unused := [contact for number, contact in enumerate(contacts) if number not in used]:
        left["contacts"] = unused
    return {**shared, **left} if left else {}


class Number(TypedDict):
    """What every event of an item says of its account and its number."""

    org_id: str | None
    waba_id: str
    phone_number_id: str
    display_phone_number: str | None


class Ids(TypedDict):
    """What it says of the person, beside how to reach them."""

    user_id: str | None
    parent_user_id: str | None
    username: str | None


def number_in(metadata: Any, about: About) -> Number:
    """The account and the number that a value is about. Raises one of `UNFIT` where it names none."""
    return {
        "org_id": about.org_id,
        "waba_id": about.waba_id or "",
        "phone_number_id": metadata["phone_number_id"],
        "display_phone_number": metadata.get("display_phone_number"),
    }


def ids_of(who: Person) -> Ids:
    return {"user_id": who.user_id, "parent_user_id": who.parent_user_id, "username": who.username}


def known(contact: str) -> str:
    """The same. Raises KeyError where Meta does not say who it is about."""
    if not contact:
        raise KeyError("contact")
    return contact


def id_by_content(event_type: type[Event], number: Number, item: Any, about: About, told_at: Any) -> str:
    """The id of something that Meta gives none: all that it says, and when, be it only its entry that says so."""
    when = () if moment(told_at) else about.entry_id_parts
    return fact_id(event_type.type, number["phone_number_id"], digest(item), *when)


def shared_with(value: Json, **parts: Any) -> Json:
    """A value with these parts, and what every part of this one shares."""
    return {key: value[key] for key in _SHARED if key in value} | parts


class Names(NamedTuple):
    """Under which names an item has a person's number and ids."""

    number: str
    user_id: str
    parent_user_id: str


FROM = Names("from", "from_user_id", "from_parent_user_id")
TO = Names("to", "to_user_id", "to_parent_user_id")
RECIPIENT = Names("recipient_id", "recipient_user_id", "recipient_parent_user_id")
PLAIN = Names("wa_id", "user_id", "parent_user_id")
BY_PHONE_NUMBER = Names("phone_number", "user_id", "parent_user_id")


def person_of(item: Json, contacts: Sequence[Any], names: Names) -> Person:
    """Who an item is about. What the item leaves out the person's contact may say.

    Source: Meta, "Business-scoped user IDs".
    """
    number = number_of(item.get(names.number))
    user_id, parent, username = item.get(names.user_id), item.get(names.parent_user_id), item.get("username")
    if user_id or parent or username:
        user_id, parent, username = text(user_id), text(parent), text(username)
    else:
        user_id = parent = username = None
    if number and not user_id and not number.isdecimal() and BSUID.fullmatch(number):
        user_id = number
    if contacts and (contact := contact_of(contacts, number, user_id)):
        number = number or (None if user_id else number_of(contact.get("wa_id")))
        user_id = user_id or text(contact.get("user_id"))
        parent = parent or text(contact.get("parent_user_id"))
        username = username or text(object_of(contact.get("profile")).get("username"))
    return Person(number or user_id or "", user_id, parent, username)


def is_group(address: str | None) -> bool:
    """Whether what stands where a number would is the id of a group: no number, and no id of a person's.

    Meta's are letters and digits, those of the phone app many digits, or end in `@g.us`. Source: Meta, "Groups API".
    """
    return bool(address) and not (is_number(address) or BSUID.fullmatch(address) or address.endswith(_NO_GROUPS))


def contact_of(contacts: Sequence[Any], number: str | None, user_id: str | None) -> Json:
    """Which of a value's contacts somebody is; empty if none.

    One that is alone is theirs, unless its id says otherwise: its `wa_id` may differ from the number, as in Brazil.
    """
    found: Json = {}
    for contact in contacts:
        known = object_of(contact)
        told = text(known.get("user_id"))
        if user_id and told:
            if user_id == told:
                return known
        elif number and number == text(known.get("wa_id")):
            found = found or known
        elif len(contacts) == 1:
            return known
    return found


def _by_id(contacts: Sequence[Any]) -> Generator[None, None, dict[str, list[int]]]:
    """Which contacts have an id, be it a WhatsApp id or what Meta gives beside or instead of it."""
    found: dict[str, list[int]] = {}
    for number, contact in enumerate(contacts):
        for each in _ids(contact, ("wa_id", "user_id")):
            found.setdefault(each, []).append(number)
        if number % SMALL_STEPS == 0:
            yield
    return found


def _whose(item: Any, by_id: Mapping[str, Sequence[int]]) -> list[int]:
    """Which contacts are those of an item; what belongs to too many is left to be kept once."""
    if not by_id:
        return []
    found = [by_id.get(each, ()) for each in _ids(item, _PEOPLE)]
    return sorted({number for numbers in found if len(numbers) <= _MOST_CONTACTS for number in numbers})


def _ids(part: Any, names: Sequence[str]) -> Iterator[str]:
    if isinstance(part, dict):
        for name in names:
            found = cast(Json, part).get(name)
            if found and isinstance(found, str):
                yield found.removeprefix("+")
