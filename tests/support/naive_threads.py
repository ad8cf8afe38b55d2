"""Histories at random, and what the tables hold of them: read in the order of time, one rule after the other.

It shares nothing with what it is the reference for, but the events, the ids and Meta's words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import threads as make
from hypothesis import strategies as st
from naive_people import NaivePeople
from wabus_events import (
    CallReported,
    ContactIdentityChanged,
    ContactSynced,
    Event,
    MarketingPreferenceChanged,
    MessageAccepted,
    MessageEchoed,
    MessageImported,
    MessageReceived,
    MessageStatusChanged,
    StandbyReceived,
)
from wabus_whatsapp.identity import Became, Evidence, Moved, Same, Seen, Together

NUMBERS = ("number-1", "number-2")
WA_IDS, USER_IDS = ("1", "2", "3"), ("US.1", "US.2", "US.3")
WORDS = ("sent", "delivered", "read", "played", "failed", "deleted")
OPENS = {"reaction": 1, "edit": 1, "revoke": 1, "system": 0, "request_welcome": 0}
REFUSED = 131047
RANKS = {"sent": 6, "failed": 7, "delivered": 8, "read": 9, "played": 10}
SOURCES = {MessageImported: 3, MessageAccepted: 4, MessageEchoed: 5, StandbyReceived: 6, MessageReceived: 7}

Whose = tuple[str | None, str | None]

whose = st.one_of(
    st.tuples(st.sampled_from(WA_IDS), st.none()),
    st.tuples(st.none(), st.sampled_from(USER_IDS)),
    st.tuples(st.sampled_from(WA_IDS), st.sampled_from(USER_IDS)),
)
moments = st.integers(-3, 12)


@st.composite
def incoming(draw: st.DrawFn, wamid: str) -> list[Event]:
    """A customer's message, perhaps in the history, or copied to us, as well."""
    when, number, (wa_id, user_id) = draw(moments), draw(st.sampled_from(NUMBERS)), draw(whose)
    kind = draw(
        st.sampled_from(("text", "text", "text", "unsupported", "reaction", "edit", "revoke", "request_welcome"))
    )
    parts: dict[str, Any] = {}
    if kind == "reaction":
        parts["reaction"] = {
            "message_id": draw(st.sampled_from(("m0", "m1"))),
            "emoji": draw(st.sampled_from(("👍", ""))),
        }
    if kind in ("edit", "revoke"):
        parts[kind] = {"original_message_id": "m0"}
    if kind == "text" and draw(st.booleans()):
        parts["referral"] = {"source_id": "ad"}
    group = draw(st.sampled_from((None, None, None, "g")))
    name = draw(st.sampled_from((None, "Anna", "Ben")))
    found: list[Event] = []
    sources = draw(st.sampled_from(("received", "received", "received", "imported", "both")))
    if sources != "imported" or group:
        event = make.received(wamid, when, wa_id, user_id, kind=kind, number=number, group=group, name=name, **parts)
        found.append(event)
    if sources != "received" and not group:
        wa_id, user_id = draw(st.sampled_from(((wa_id, user_id), (wa_id, user_id), draw(whose))))
        found.append(make.imported(wamid, when, wa_id, user_id, kind=kind, number=number, **parts))
    return found


@st.composite
def outgoing(draw: st.DrawFn, wamid: str) -> list[Event]:
    """A message of the business: known by an echo, by the history, by statuses, or by several of these."""
    when, number, (wa_id, user_id) = draw(moments), draw(st.sampled_from(NUMBERS)), draw(whose)
    found: list[Event] = []
    match draw(st.sampled_from(("echoed", "accepted", "neither"))):
        case "echoed":
            found.append(make.echoed(wamid, when, wa_id, user_id, number=number))
        case "accepted":
            found.append(make.accepted(wamid, when, wa_id, user_id, number=number))
        case _:
            pass
    if draw(st.integers(0, 3)) == 0:
        progress = draw(st.sampled_from(("SENT", "READ", "ERROR")))
        found.append(make.imported(wamid, when, wa_id, user_id, ours=True, progress=progress, number=number))
    group = draw(st.sampled_from((None, None, "g"))) if not found else None
    for word in draw(st.sets(st.sampled_from(WORDS), min_size=0 if found else 1)):
        shape: Whose = draw(st.sampled_from(((wa_id, None), (wa_id, user_id), (None, user_id), (wa_id, user_id))))
        if shape == (None, None):
            shape = wa_id, user_id
        codes = [draw(st.sampled_from((131026, REFUSED)))] if word == "failed" else []
        parts: dict[str, Any] = {}
        if word == "sent" and draw(st.booleans()):
            until = str(int(make.at(draw(moments) + 90_000).timestamp()))
            parts["conversation"] = {"origin": {"type": "referral_conversion"}, "expiration_timestamp": until}
        later = when + draw(st.integers(0, 4))
        found.append(make.status(wamid, word, later, *shape, number=number, group=group, codes=codes, **parts))
    return found


@st.composite
def about_people(draw: st.DrawFn, wamid: str) -> list[Event]:
    when, number, one, other = draw(moments), draw(st.sampled_from(NUMBERS)), draw(whose), draw(whose)
    match draw(st.sampled_from(("became", "system", "book", "preference", "call", "card"))):
        case "became":
            return [make.identity(when, one, other, number=number)]
        case "system" if one[0]:
            notice = {"type": "user_changed_number", "wa_id": other[0], "user_id": other[1]}
            return [make.received(wamid, when, one[0], None, kind="system", system=notice, number=number)]
        case "book" if one[0]:
            return [make.in_book(when, draw(st.sampled_from(("Anna", "Zoe", None))), one[0] or "", one[1])]
        case "preference":
            return [make.preference(when, draw(st.sampled_from(("stop", "resume"))), *one)]
        case "card" if other[0]:
            cards = [{"origin": "contact_request", "phones": [{"wa_id": other[0]}]}]
            return [make.received(wamid, when, *one, kind="contacts", contacts=cards, number=number)]
        case _:
            direction = draw(st.sampled_from(("USER_INITIATED", "BUSINESS_INITIATED")))
            begun = make.called(wamid, when, one[0] or "1", direction=direction)
            return [begun, make.called(wamid, when + 1, one[0] or "1", event="terminate", direction=direction)]


@st.composite
def histories(draw: st.DrawFn, most: int = 7) -> list[Event]:
    """Some messages, statuses and notices, in no order."""
    found: list[Event] = []
    for number in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from((incoming, incoming, outgoing, outgoing, about_people)))
        found += draw(kind(f"m{number}"))
    return found


@dataclass
class NaiveMessage:
    number: str
    wamid: str
    at: datetime
    source: int
    outgoing: bool
    kind: str
    type: str
    whose: Whose
    group: str | None
    opens: int
    unread: bool
    referred: bool = False
    name: str | None = None
    state: int = 0
    times: dict[str, datetime] = field(default_factory=dict[str, datetime])
    refused_at: datetime | None = None
    free_until: datetime | None = None
    person: str | None = None

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        """The conversation: number, person, group."""
        return self.number, self.person, self.group


Conversation = dict[str, Any]


@dataclass
class Naive:
    people: NaivePeople
    messages: dict[tuple[str, str], NaiveMessage]
    statuses: set[tuple[str, str, str, str, datetime]]
    conversations: dict[tuple[str, str | None, str | None], Conversation]
    books: dict[str, tuple[datetime, str]]


def naive(events: Sequence[Event]) -> Naive:
    """What is in the tables, if nothing was before."""
    ordered = sorted(events, key=lambda event: event.time)
    people = naive_people(ordered)
    messages: dict[tuple[str, str], NaiveMessage] = {}
    statuses: dict[tuple[str, str, str, str], datetime] = {}
    for event in ordered:
        if (told := _message(event)) is not None:
            held = messages.get((told.number, told.wamid))
            if held is None or _tells_more(told, held):
                if held:
                    told.state = max(told.state, held.state)
                messages[told.number, told.wamid] = told
            else:
                held.state = max(held.state, told.state)
    of_message: dict[tuple[str, str], list[MessageStatusChanged]] = {}
    for event in ordered:
        if isinstance(event, MessageStatusChanged):
            of_message.setdefault((event.phone_number_id, event.wamid), []).append(event)
            who = (event.participant or event.participant_user_id or "") if event.group_id else ""
            statuses.setdefault((event.phone_number_id, event.wamid, who, event.status), event.time)
    for key, found in of_message.items():
        message = messages.get(key) or _unknown(found)
        messages[key] = message
        for each in found:
            message.state = max(message.state, RANKS.get(each.status, 0))
            if each.status in RANKS:
                message.times[each.status] = min(message.times.get(each.status, each.time), each.time)
            if REFUSED in each.error_codes:
                message.refused_at = max(message.refused_at or each.time, each.time)
            conversation = each.value["statuses"][0].get("conversation")
            if conversation:
                until = make.at(0) + timedelta(
                    seconds=int(conversation["expiration_timestamp"]) - make.at(0).timestamp()
                )
                message.free_until = max(message.free_until or until, until)
    for message in messages.values():
        if message.group is None:
            identifier = id_of(message.whose[1] or message.whose[0])
            message.person = people.holder(identifier, message.at) if identifier else None
    conversations = {key: _conversation([each for each in messages.values() if each.key == key]) for key in
                     {each.key for each in messages.values()}}  # fmt: skip
    return Naive(people, messages, {(*key, at) for key, at in statuses.items()}, conversations, _books(ordered))


def _tells_more(told: NaiveMessage, held: NaiveMessage) -> bool:
    """Of two sources: the better one, else the earlier, else the one that names more of the person."""
    if told.source != held.source or told.at != held.at:
        return told.source > held.source or (told.source == held.source and told.at < held.at)

    def named(each: NaiveMessage) -> tuple[bool, bool, str, str]:
        number, user = id_of(each.whose[0]), id_of(each.whose[1])
        return user is not None, number is not None, user or "", number or ""

    return named(told) > named(held)


def id_of(value: str | None) -> str | None:
    """An identifier's id: where nothing else tells who somebody is named by, the least id does."""
    return make.person(value) if value else None


def naive_people(events: Sequence[Event]) -> NaivePeople:
    evidence: list[Evidence] = []
    seen: dict[str, Seen] = {}

    def see(at: datetime, told: Whose) -> None:
        ids = id_of(told[0]), id_of(told[1])
        for identifier, is_user in zip(ids, (False, True), strict=True):
            if identifier:
                known = seen.get(identifier)
                seen[identifier] = Seen(min(at, known.at) if known else at, is_user)
        if ids[0] and ids[1]:
            evidence.append(Together(at, ids[0], ids[1]))

    def changed(at: datetime, was: Whose, became: Whose) -> None:
        see(at, was)
        see(at, became)
        before, after = (id_of(was[0]), id_of(was[1])), (id_of(became[0]), id_of(became[1]))
        if before[1] and after[1] and before[1] != after[1]:
            evidence.append(Became(at, before[1], after[1]))
        if before[0] and after[0]:
            if before[0] != after[0]:
                evidence.append(Moved(at, before[0], to_number=after[0]))
        elif before[0] and after[1] and not before[1]:
            evidence.append(Moved(at, before[0], to_user=after[1]))
        elif before[1] and after[0] and not after[1]:
            evidence.append(Together(at, after[0], before[1]))

    for event in events:
        match event:
            case ContactIdentityChanged():
                changed(
                    event.time,
                    (event.previous_wa_id, event.previous_user_id),
                    (event.current_wa_id, event.current_user_id),
                )
            case MessageStatusChanged(group_id=str()):
                see(event.time, (event.participant, event.participant_user_id))
            case (
                MessageReceived()
                | MessageStatusChanged()
                | MessageEchoed()
                | MessageAccepted()
                | MessageImported()
                | StandbyReceived()
                | CallReported()
                | ContactSynced()
                | MarketingPreferenceChanged()
            ):
                ids = event.wa_id, event.user_id
                see(event.time, ids)
                item = event.value.get("messages", [{}])[0] if isinstance(event, MessageReceived) else {}
                if "system" in item and (item["system"].get("wa_id") or item["system"].get("user_id")):
                    changed(event.time, ids, (item["system"].get("wa_id"), item["system"].get("user_id")))
                for card in item.get("contacts", []):
                    see(event.time, (card["phones"][0]["wa_id"], None))
                    number, user, shared = id_of(ids[0]), id_of(ids[1]), make.person(card["phones"][0]["wa_id"])
                    if user:
                        evidence.append(Together(event.time, shared, user))
                    elif number and number != shared:
                        evidence.append(Same(event.time, number, shared))
            case _:
                pass
    return NaivePeople(evidence, seen)


def _message(event: Event) -> NaiveMessage | None:
    match event:
        case MessageReceived() | MessageImported() | MessageEchoed():
            kind = event.message_type
            outgoing = isinstance(event, MessageEchoed) or (isinstance(event, MessageImported) and event.from_business)
            live = isinstance(event, MessageReceived)
            group = event.group_id if isinstance(event, MessageReceived) else None
            item: Mapping[str, Any] = event.value["messages"][0] if live else {}
            profile = event.value["contacts"][0].get("profile", {}) if live else {}
            shown = kind if kind in ("reaction", "edit", "revoke") else "message"
            shown = "system" if kind in ("system", "request_welcome") else shown
            state = 4 if isinstance(event, MessageEchoed) else 0
            if isinstance(event, MessageImported) and outgoing:
                state = {"SENT": 6, "READ": 9, "ERROR": 7}[event.status or ""]
            return NaiveMessage(
                number=event.phone_number_id,
                wamid=event.wamid,
                at=event.time,
                source=SOURCES[type(event)],
                outgoing=outgoing,
                kind=shown,
                type=kind,
                whose=(event.wa_id, event.user_id),
                group=group,
                opens=OPENS.get(kind, 2) if live and not group else 0,
                unread=live and shown == "message" and event.time >= make.START,
                referred="referral" in item and not group,
                name=profile.get("name") if not group else None,
                state=state,
            )
        case MessageAccepted():
            return NaiveMessage(
                number=event.phone_number_id,
                wamid=event.wamid,
                at=event.time,
                source=SOURCES[type(event)],
                outgoing=True,
                kind="message",
                type=event.kind,
                whose=(event.wa_id, event.user_id),
                group=None,
                opens=0,
                unread=False,
                referred=False,
                name=None,
                state=4,
            )
        case CallReported():
            begins, user = event.event == "connect", event.direction == "USER_INITIATED"
            return NaiveMessage(
                number=event.phone_number_id,
                wamid=event.call_id if begins else event.call_id + " ended",
                at=event.time,
                source=7,
                outgoing=not user,
                kind="call" if begins else "call_update",
                type="call",
                whose=(event.wa_id, event.user_id),
                group=None,
                opens=2 if begins and user else 0,
                unread=begins and user and event.time >= make.START,
            )
        case _:
            return None


def _unknown(statuses: Sequence[MessageStatusChanged]) -> NaiveMessage:
    """A message of which there are only statuses."""
    first = statuses[0]
    return NaiveMessage(
        number=first.phone_number_id,
        wamid=first.wamid,
        at=min(each.time for each in statuses),
        source=1,
        outgoing=True,
        kind="message",
        type="unknown",
        whose=(None, None)
        if first.group_id
        else (
            min((each.wa_id for each in statuses if each.wa_id), default=None),
            min((each.user_id for each in statuses if each.user_id), default=None),
        ),
        group=first.group_id,
        opens=0,
        unread=False,
    )


def _conversation(messages: Sequence[NaiveMessage]) -> Conversation:
    active = [each for each in messages if each.source > 3 and each.kind in ("message", "call")]
    old = [each.at for each in messages if each.source in (2, 3) and each.kind == "message"]
    names = [(each.at, each.name) for each in messages if each.name]
    return {
        "first_at": min(each.at for each in messages),
        "last_at": max((each.at for each in active), default=None),
        "history_at": max(old, default=None),
        "unread": sum(each.unread for each in messages),
        "user_last_at": max((each.at for each in messages if each.opens == 2), default=None),
        "maybe_at": max((each.at for each in messages if each.opens == 1), default=None),
        "refused_at": max((each.refused_at for each in messages if each.refused_at), default=None),
        "referred_at": max((each.at for each in messages if each.referred), default=None),
        "free_reported_until": max((each.free_until for each in messages if each.free_until), default=None),
        "free_computed_until": _free(messages),
        "name": max(names)[1] if names else None,
    }


def _free(messages: Sequence[NaiveMessage]) -> datetime | None:
    answers = [each.at for each in messages if each.outgoing and each.source in (1, 4, 6) and each.kind == "message"]
    ends: list[datetime] = []
    for each in messages:
        later = [answer for answer in answers if answer >= each.at]
        if each.referred and later and min(later) - each.at <= timedelta(hours=24):
            ends.append(min(later) + timedelta(hours=72))
    return max(ends, default=None)


def _books(events: Sequence[Event]) -> dict[str, tuple[datetime, str]]:
    found: dict[str, tuple[datetime, str]] = {}
    for event in events:
        if isinstance(event, ContactSynced):
            told = event.time, event.full_name or ""
            for identifier in filter(None, (event.wa_id, event.user_id)):
                found[identifier] = max(found.get(identifier, told), told)
    return found
