"""An event becomes facts about conversations. What it says of one person's identifiers stays as it came."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import orjson
from wabus_events import (
    CallReported,
    ContactIdentityChanged,
    ContactSynced,
    Event,
    HistoryProgressed,
    MarketingPreferenceChanged,
    MediumLost,
    MediumStored,
    MessageAccepted,
    MessageEchoed,
    MessageImported,
    MessageReceived,
    MessageReported,
    MessageStatusChanged,
    SendRefused,
    SendSettled,
    StandbyReceived,
    ThreadControlChanged,
    Unrecognised,
    WabaEvent,
)
from wabus_events.models.messages.messages import is_number
from wabus_events.webhooks.messages import RENUMBERED
from wabus_events.webhooks.unrecognised import from_unrecognised
from wabus_whatsapp.joins import STATE_OF_HISTORY, STATE_OF_STATUS, MessageState
from wabus_whatsapp.text.stored import storable
from wabus_whatsapp.window import REFUSED, Opens, came_by_ad, free_until_in, opened_by

from wabus_conversations.media.reading import medium_in
from wabus_conversations.threads import content
from wabus_conversations.threads.content import Json
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
from wabus_conversations.threads.ids import message_id

_USER_ID = re.compile(r"[A-Z]{2}\.(?!ENT\.)[0-9A-Za-z]{1,128}")
"""A business-scoped user id. Meta: "Business-scoped user IDs"."""

_LATEST_SECONDS = 253_402_300_799  # 9999-12-31, the last moment a datetime holds


def facts_of(event: Event, org_id: str, tie: int) -> Iterable[Fact]:
    """What an event says; `org_id` is whose it is, and `tie` where in the log it was.

    What it says is as certain as its model: a value that is not as Meta describes it gives less, never an error.
    """
    kind = type(event)  # nearly all are of the first two; to ask each model whether it is one takes far longer
    if kind is MessageStatusChanged:
        return (_status(cast(MessageStatusChanged, event), _account(cast(_OfNumber, event), org_id), tie),)
    if kind is MessageReceived:
        return _received(cast(MessageReceived, event), _account(cast(_OfNumber, event), org_id), tie)
    return _of_others(event, org_id, tie)


def _of_others(event: Event, org_id: str, tie: int) -> Iterator[Fact]:
    match event:
        case MessageEchoed():
            item = _first(event.value, "message_echoes")
            yield _message(event, _account(event, org_id), tie, item, Source.ECHO, outgoing=True)
        case MessageAccepted() | MessageReported() | SendSettled():
            if event.message is not None:
                yield _sent(event, Account(org_id, event.waba_id, event.phone_number_id), tie, event.message)
        case MessageImported():
            yield _imported(event, _account(event, org_id), tie)
        case StandbyReceived():
            yield from _standby(event, _account(event, org_id), tie)
        case CallReported():
            yield _call(event, _account(event, org_id), tie)
        case ContactIdentityChanged():
            before = Whose(event.previous_wa_id, event.previous_user_id)
            yield BecameFact(
                _account(event, org_id), event.time, before, Whose(event.current_wa_id, event.current_user_id)
            )
        case ContactSynced():
            name = event.full_name or event.first_name if event.action != "remove" else None
            yield BookFact(_account(event, org_id), event.time, _whose(event), name and _text(name))
        case MarketingPreferenceChanged():
            value = {"choice": event.choice, "wants_marketing": event.wants_marketing}
            yield _contact_fact(event, org_id, f"preference {event.category[:64]}", value)
        case ThreadControlChanged() if event.contact:
            value = {"ours": event.is_ours, "role": event.new_owner_role, "app_id": event.new_owner_app_id}
            yield _contact_fact(event, org_id, "thread_owner", value)
        case SendRefused(error_code=int(code)) if code == REFUSED and (event.wa_id or event.user_id):
            # There is no message that could say so: Meta has given it no id.
            account, whose = Account(org_id, event.waba_id, event.phone_number_id), _sorted(event.wa_id, event.user_id)
            yield ContactFact(account, event.time, whose, "window_refused", b"{}")
        case MediumStored() | MediumLost():
            account = _account(event, org_id)
            yield MediumFact(account, _message_id(account, event.wamid), event.time)
        case HistoryProgressed():
            phase = -1 if event.declined else event.phase
            if phase is not None:
                yield HistoryFact(_account(event, org_id), event.time, phase, event.progress, event.chunk_order)
        case _:
            return


def events_in(event: Event) -> Iterable[tuple[WabaEvent, bool]]:
    """The events of accounts that a record is, and whether something in them was replaced so that they can be read.

    What was `Unrecognised` when it came is read as what it would be now.
    """
    if type(event) in (MessageStatusChanged, MessageReceived):
        return ((cast(WabaEvent, event), False),)
    return _as_read_now(event)


def _as_read_now(event: Event) -> Iterator[tuple[WabaEvent, bool]]:
    match event:
        case Unrecognised(body=str(body)):
            try:
                change = content.change_of(base64.b64decode(body))
            except ValueError:
                change = None
            if change:
                field, value = change
                whole = event.model_copy(update={"field": field, "value": value, "body": None})
                yield from ((each, True) for each in from_unrecognised(whole) if isinstance(each, WabaEvent))
        case Unrecognised():
            yield from ((each, False) for each in from_unrecognised(event) if isinstance(each, WabaEvent))
        case WabaEvent():
            yield event, False
        case _:
            return


def is_of_the_event(event: Event) -> bool:
    """Whether it belongs to the organisation that it names: what was before a connection came by it."""
    return type(event) in (MessageImported, HistoryProgressed, ContactSynced)


_OfNumber = (
    MessageReceived
    | MessageStatusChanged
    | MessageEchoed
    | MessageImported
    | StandbyReceived
    | CallReported
    | ContactIdentityChanged
    | ContactSynced
    | MarketingPreferenceChanged
    | ThreadControlChanged
    | HistoryProgressed
    | MediumStored
    | MediumLost
)
_OfMessage = MessageReceived | MessageEchoed | MessageImported | StandbyReceived
_OfPerson = _OfMessage | CallReported | ContactSynced | MarketingPreferenceChanged | ThreadControlChanged


def _account(event: _OfNumber, org_id: str) -> Account:
    return Account(org_id, event.waba_id, event.phone_number_id)


def _message_id(account: Account, wamid: str) -> str:
    return message_id(account.org_id, account.phone_number_id, wamid)


def _whose(event: _OfPerson) -> Whose:
    found = _sorted(event.wa_id, event.user_id)
    return _sorted(event.contact, None) if found == NOBODY and _USER_ID.fullmatch(event.contact or "") else found


def _sorted(number: Any, user: Any) -> Whose:
    """The two identifiers of an item, wherever an earlier release has put them."""
    if user is None and isinstance(number, str) and _USER_ID.fullmatch(number):
        return Whose(None, number)
    if isinstance(user, str) and is_number(user):  # what stood beside a number of another responder's, once more
        return Whose(_text(number) or user.removeprefix("+"), None)
    return Whose(_text(number), _text(user))


def _received(event: MessageReceived, account: Account, tie: int) -> Sequence[Fact]:
    item = _first(event.value, "messages")
    fact = _message(event, account, tie, item, Source.RECEIVED, outgoing=False)
    changed = _changed(fact, item) if fact.type == "system" else None
    if changed:
        # Who it is from is who they were. Were the new id beside their old number, that would be somebody else.
        return fact._replace(whose=_earlier(fact.whose, changed.after)), changed
    if fact.type != "contacts":
        return (fact,)
    return fact, *(SameFact(account, fact.at, fact.whose, number) for number in content.shared_numbers(item))


def _changed(fact: MessageFact, item: Json) -> BecameFact | None:
    """What a notice of the system says of who somebody is. Meta: "System messages webhook reference"."""
    notice = item.get("system")
    if not isinstance(notice, dict):
        return None
    parts = cast(Json, notice)
    if _text(parts.get("type")) not in RENUMBERED:
        return None
    after = Whose(_text(parts.get("wa_id") or parts.get("new_wa_id")), _text(parts.get("user_id")))
    previous = _text(parts.get("previous_user_id"))
    before = _earlier(Whose(fact.whose.wa_id, previous or fact.whose.user_id), after)
    return BecameFact(fact.account, fact.at, before, after) if any(after) else None


def _earlier(before: Whose, after: Whose) -> Whose:
    """Who somebody was, where the user id beside their number of before may be the new one already."""
    return Whose(before.wa_id, None) if before.wa_id and before.user_id == after.user_id else before


def _imported(event: MessageImported, account: Account, tie: int) -> MessageFact:
    threads = _objects(_first(event.value, "history").get("threads"))
    # The medium of a message that was told before comes by itself, as what was sent or as what was received.
    beside = _first(event.value, "messages") or _first(event.value, "message_echoes")
    item = _first(threads[0], "messages") if threads else beside
    source = Source.PLACEHOLDER if event.message_type == "media_placeholder" else Source.HISTORY
    return _message(event, account, tie, item, source, outgoing=event.from_business)


def _sent(
    event: MessageAccepted | MessageReported | SendSettled, account: Account, tie: int, message: Json
) -> MessageFact:
    """A message that was sent through us, or told to us: what Meta was asked, under the id that Meta has given it."""
    whose = _sorted(event.wa_id, event.user_id)
    ids = (("to", whose.wa_id), ("recipient", whose.user_id))
    item: Json = {**message, "id": event.wamid} | {name: value for name, value in ids if value}
    message_type = storable((event.kind or "unknown")[:64])
    encoded, altered = content.storable_json(item)
    about = content.about(item, message_type) if message_type in content.ABOUT_OTHERS else None
    context = content.context(item)
    return MessageFact(
        account=account,
        message_id=_message_id(account, event.wamid),
        wamid=storable(event.wamid),
        at=event.time,
        tie=tie,
        source=Source.ACCEPTED,
        outgoing=True,
        kind=content.kind_of(message_type),
        type=message_type,
        whose=whose,
        group_id=None,
        name=None,
        username=None,
        content=encoded,
        altered=altered,
        text=content.text_of(item, message_type),
        about_id=_message_id(account, about) if about else None,
        context_id=_message_id(account, context) if context else None,
        opens=Opens.NO,
        unread=False,
        referred=False,
        state=MessageState.ACCEPTED,
        medium=medium_in(item, message_type),
    )


def _standby(event: StandbyReceived, account: Account, tie: int) -> Iterator[Fact]:
    copy = event.value.get("standby")
    copied = cast(Json, copy) if isinstance(copy, dict) else event.value
    match event.kind:
        case "message":
            yield _message(event, account, tie, _first(copied, "messages"), Source.STANDBY, outgoing=False)
        case "echo":
            item = _first(copied, "message_echoes") or _first(copied, "messages")
            yield _message(event, account, tie, item, Source.STANDBY, outgoing=True)
        case "status":
            item, group = _first(copied, "statuses"), event.group_id
            user = event.participant_user_id if group else event.user_id
            whose, status = _sorted(event.wa_id, user), event.status or "unknown"
            yield _status_fact(account, tie, event.time, event.wamid, status, whose, group, item, event.error_codes)


def _message(
    event: _OfMessage, account: Account, tie: int, item: Json, source: Source, *, outgoing: bool
) -> MessageFact:
    message_type = storable((event.message_type or "unknown")[:64])
    standby = event.value.get("standby") if source == Source.STANDBY else None
    whose = _whose_message(event, item)
    person = _person(cast(Json, standby) if isinstance(standby, dict) else event.value)
    encoded, altered = content.storable_json(item)
    about = None
    if message_type in content.ABOUT_OTHERS:
        about = content.about(item, message_type) or event.original_wamid
    context = content.context(item)
    group = event.group_id
    kind = content.kind_of(message_type)
    theirs = not outgoing and source >= Source.STANDBY
    username = event.username or person.get("username")
    return MessageFact(
        account=account,
        message_id=_message_id(account, event.wamid),
        wamid=storable(event.wamid),
        at=event.time,
        tie=tie,
        source=source,
        outgoing=outgoing,
        kind=kind,
        type=message_type,
        whose=whose,
        group_id=storable(group) if group else None,
        name=_text(person.get("name")) if theirs else None,
        username=_text(username) if theirs else None,
        content=encoded,
        altered=altered,
        text=content.text_of(item, message_type),
        about_id=_message_id(account, about) if about else None,
        context_id=_message_id(account, context) if context else None,
        opens=opened_by(message_type) if theirs and not group else Opens.NO,
        unread=theirs and kind == "message" and source == Source.RECEIVED,
        referred=theirs and not group and came_by_ad(item),
        state=MessageState.NONE if theirs else _state(event),
        medium=medium_in(item, message_type),
    )


def _state(event: _OfMessage) -> MessageState:
    match event:
        case MessageImported(from_business=True, status=str(status)):
            return STATE_OF_HISTORY.get(status.upper(), MessageState.NONE)
        case MessageEchoed():
            return MessageState.ACCEPTED
        case _:
            return MessageState.NONE


def _whose_message(event: _OfMessage, item: Json) -> Whose:
    """A record of before the user ids had a field of their own has both in the item, or the id as the contact."""
    if event.user_id is None and type(event) is MessageReceived and item.get("from_user_id"):
        return Whose(_text(item.get("from")), _text(item["from_user_id"]))
    return _whose(event)


def _status(event: MessageStatusChanged, account: Account, tie: int) -> StatusFact:
    item = _first(event.value, "statuses")
    group = event.group_id or (_text(item.get("recipient_id")) if item.get("recipient_type") == "group" else None)
    if group:
        whose = _sorted(event.participant, event.participant_user_id)
        if whose == NOBODY:
            number = item.get("recipient_participant_id") or item.get("participant_recipient_id")
            whose = _sorted(number, item.get("recipient_participant_user_id"))
    elif event.user_id is None and item.get("recipient_user_id"):
        whose = Whose(_text(item.get("recipient_id")), _text(item["recipient_user_id"]))
    else:
        whose = _sorted(event.wa_id, event.user_id)
    return _status_fact(account, tie, event.time, event.wamid, event.status, whose, group, item, event.error_codes)


def _status_fact(
    account: Account,
    tie: int,
    at: datetime,
    wamid: str,
    status: str,
    whose: Whose,
    group: str | None,
    item: Json,
    codes: list[int],
) -> StatusFact:
    participant, state = "", STATE_OF_STATUS.get(status, MessageState.NONE)
    if group:
        participant = whose.wa_id or whose.user_id or ""
    if item.get("type") == "payment":
        # How a payment goes says nothing of the message. Meta: "Payments API".
        digest = hashlib.sha256(orjson.dumps(item.get("payment"), option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        participant, status, state = digest, f"payment {status}", MessageState.NONE
    return StatusFact(
        account=account,
        message_id=_message_id(account, wamid),
        wamid=storable(wamid),
        at=at,
        tie=tie,
        participant=storable(participant),
        status=storable(status[:64]),
        whose=whose,
        group_id=storable(group) if group else None,
        content=content.storable_json(item)[0],
        state=state,
        refused=REFUSED in codes,
        free_until=free_until_in(item),
    )


def _call(event: CallReported, account: Account, tie: int) -> MessageFact:
    """A call is shown from when it begins; all else that is told of it is about that."""
    begins = event.event == "connect"
    by_person = event.direction == "USER_INITIATED"
    call, item = _message_id(account, event.call_id), _first(event.value, "calls") or _first(event.value, "statuses")
    person = _person(event.value)
    encoded, altered = content.storable_json(item)
    own = call if begins else _message_id(account, f"{event.call_id}\x1f{event.event}\x1f{event.status or ''}")
    username = event.username or person.get("username")
    return MessageFact(
        account=account,
        message_id=own,
        wamid=storable(event.call_id),
        at=event.time,
        tie=tie,
        source=Source.RECEIVED,
        outgoing=event.direction == "BUSINESS_INITIATED",
        kind="call" if begins else "call_update",
        type="call",
        whose=_whose(event),
        group_id=None,
        name=_text(person.get("name")),
        username=_text(username),
        content=encoded,
        altered=altered,
        text=None,
        about_id=None if begins else call,
        context_id=None,
        opens=Opens.YES if event.opens_window_at else Opens.NO,
        unread=begins and by_person,
        referred=False,
        state=MessageState.NONE,
    )


def _contact_fact(
    event: MarketingPreferenceChanged | ThreadControlChanged, org_id: str, fact: str, value: Mapping[str, Any]
) -> ContactFact:
    return ContactFact(_account(event, org_id), event.time, _whose(event), fact, content.storable_json(value)[0])


def _person(value: Json) -> Json:
    """The profile of the one contact that a value has."""
    contacts = value.get("contacts")
    match contacts:
        case [{"profile": {**profile}}]:
            return cast(Json, profile)
        case _:
            return {}


def _first(value: Json, name: str) -> Json:
    found = value.get(name)
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return cast(Json, found[0])
    return {}


def _objects(part: Any) -> list[Json]:
    return [cast(Json, each) for each in part if isinstance(each, dict)] if isinstance(part, list) else []


def _text(part: Any) -> str | None:
    return storable(part) if isinstance(part, str) and part else None
