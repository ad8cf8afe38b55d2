"""Events of conversations as Meta's webhooks give them, and the pure fold of them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from wabus_conversations.threads.facts import Account, Fact
from wabus_conversations.threads.fold import Thread, threads_of
from wabus_conversations.threads.gathering import Rules, gather
from wabus_conversations.threads.ids import Ids
from wabus_conversations.threads.reading import facts_of
from wabus_events import (
    CallReported,
    ContactIdentityChanged,
    ContactSynced,
    Event,
    HistoryProgressed,
    MarketingPreferenceChanged,
    MessageAccepted,
    MessageEchoed,
    MessageImported,
    MessageReceived,
    MessageStatusChanged,
    StandbyReceived,
    ThreadControlChanged,
    fact_id,
)

IDS = Ids(b"a key of thirty-two bytes or more")
ORG, WABA, NUMBER = "shop", "waba-1", "number-1"
START = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW = datetime.now(UTC).replace(microsecond=0)
ANNA, ANNA_ID = "16505551234", "US.1001"
BEN, BEN_ID = "16505559999", "US.1002"


def at(seconds: float) -> datetime:
    """So long after the service was started."""
    return START + timedelta(seconds=seconds)


def about(when: float, waba: str = WABA, number: str = NUMBER) -> dict[str, Any]:
    """When it was, and of whose account and number: what every event of a conversation says."""
    return {"time": at(when), "org_id": ORG, "waba_id": waba, "phone_number_id": number}


def recent(event: Event, **others: Any) -> Event:
    """The same but now: `START` is an hour ago."""
    return event.model_copy(update={"time": event.time - START + NOW - timedelta(hours=1), **others})


def received(
    wamid: str,
    when: float,
    wa_id: str | None = ANNA,
    user_id: str | None = None,
    *,
    kind: str = "text",
    number: str = NUMBER,
    waba: str = WABA,
    name: str | None = None,
    group: str | None = None,
    context: str | None = None,
    **parts: Any,
) -> MessageReceived:
    """A customer's message; `parts` are those of Meta's message beside the usual."""
    item: dict[str, Any] = {"id": wamid, "timestamp": str(int(at(when).timestamp())), "type": kind}
    item |= {key: each for key, each in (("from", wa_id), ("from_user_id", user_id), ("group_id", group)) if each}
    if context:
        item["context"] = {"id": context}
    if kind == "text" and "text" not in parts:
        parts["text"] = {"body": wamid}
    item |= parts
    contact: dict[str, Any] = {key: each for key, each in (("wa_id", wa_id), ("user_id", user_id)) if each}
    if name is not None:
        contact["profile"] = {"name": name}
    return MessageReceived(
        id=fact_id(MessageReceived.type, wamid),
        **about(when, waba, number),
        wamid=wamid,
        contact=wa_id or user_id or "",
        user_id=user_id,
        group_id=group,
        message_type=kind,
        value={"contacts": [contact], "messages": [item]},
    )


def status(
    wamid: str,
    word: str,
    when: float,
    wa_id: str | None = ANNA,
    user_id: str | None = None,
    *,
    number: str = NUMBER,
    waba: str = WABA,
    group: str | None = None,
    codes: Iterable[int] = (),
    **parts: Any,
) -> MessageStatusChanged:
    """What became of a message."""
    item: dict[str, Any] = {"id": wamid, "status": word, "timestamp": str(int(at(when).timestamp()))} | parts
    names = (
        ("recipient_participant_id", "recipient_participant_user_id")
        if group
        else ("recipient_id", "recipient_user_id")
    )
    item |= {key: each for key, each in zip(names, (wa_id, user_id), strict=True) if each}
    if group:
        item |= {"recipient_id": group, "recipient_type": "group"}
    errors = list(codes)
    if errors:
        item["errors"] = [{"code": code} for code in errors]
    return MessageStatusChanged(
        id=fact_id(MessageStatusChanged.type, wamid, word, wa_id or "", user_id or ""),
        **about(when, waba, number),
        wamid=wamid,
        contact=group or wa_id or user_id or "",
        user_id=None if group else user_id,
        group_id=group,
        participant=wa_id if group else None,
        participant_user_id=user_id if group else None,
        status=word,
        error_codes=errors,
        value={"statuses": [item]},
    )


def echoed(
    wamid: str,
    when: float,
    wa_id: str | None = ANNA,
    user_id: str | None = None,
    *,
    kind: str = "text",
    number: str = NUMBER,
    waba: str = WABA,
    group: str | None = None,
    context: str | None = None,
    **parts: Any,
) -> MessageEchoed:
    """A message that somebody of the business wrote in the phone app."""
    item: dict[str, Any] = {"id": wamid, "type": kind, "timestamp": str(int(at(when).timestamp()))} | parts
    item |= {key: each for key, each in (("to", wa_id), ("to_user_id", user_id)) if each}
    if context:
        item["context"] = {"id": context}
    original = (parts.get(kind) or {}).get("original_message_id") if kind in ("edit", "revoke") else None
    return MessageEchoed(
        id=fact_id(MessageEchoed.type, wamid),
        **about(when, waba, number),
        wamid=wamid,
        contact=group or wa_id or user_id or "",
        user_id=user_id,
        group_id=group,
        message_type=kind,
        original_wamid=original,
        value={"message_echoes": [item]},
    )


def accepted(
    wamid: str,
    when: float,
    wa_id: str | None = ANNA,
    user_id: str | None = None,
    *,
    kind: str = "text",
    number: str = NUMBER,
    waba: str = WABA,
    context: str | None = None,
    **parts: Any,
) -> MessageAccepted:
    """A message that was sent through us, and that Meta has taken."""
    message: dict[str, Any] = {"type": kind, **parts}
    if context:
        message["context"] = {"message_id": context}
    return MessageAccepted(
        id=fact_id(MessageAccepted.type, wamid),
        **about(when, waba, number),
        send_id=str(uuid5(NAMESPACE_URL, wamid)),
        attempt=1,
        wamid=wamid,
        wa_id=wa_id,
        user_id=user_id,
        kind=kind,
        message=message,
    )


def imported(
    wamid: str,
    when: float,
    wa_id: str | None = ANNA,
    user_id: str | None = None,
    *,
    kind: str = "text",
    ours: bool = False,
    progress: str | None = "READ",
    number: str = NUMBER,
    waba: str = WABA,
    group: str | None = None,
    **parts: Any,
) -> MessageImported:
    """A message of before the connection."""
    item: dict[str, Any] = {"id": wamid, "type": kind, "timestamp": str(int(at(when).timestamp()))} | parts
    return MessageImported(
        id=fact_id(MessageImported.type, wamid, kind),
        **about(when, waba, number),
        wamid=wamid,
        contact=wa_id or user_id or group or "",
        user_id=user_id,
        group_id=group,
        from_business=ours,
        message_type=kind,
        status=progress,
        value={"history": [{"threads": [{"id": wa_id or user_id, "messages": [item]}]}]},
    )


def standby(
    wamid: str, when: float, wa_id: str | None = ANNA, user_id: str | None = None, *, copy_of: str = "message"
) -> StandbyReceived:
    """A copy of what another responder got or sent."""
    item = {"id": wamid, "type": "text", "text": {"body": wamid}}
    place = {"message": "messages", "echo": "message_echoes"}[copy_of]
    return StandbyReceived(
        id=fact_id(StandbyReceived.type, wamid),
        **about(when),
        kind="message" if copy_of == "message" else "echo",
        wamid=wamid,
        contact=wa_id or user_id or "",
        user_id=user_id,
        message_type="text",
        value={"standby": {place: [item]}},
    )


def identity(
    when: float,
    before: tuple[str | None, str | None],
    after: tuple[str | None, str | None],
    *,
    number: str = NUMBER,
    waba: str = WABA,
) -> ContactIdentityChanged:
    """Somebody has another number or user id; both are (number, user id)."""
    return ContactIdentityChanged(
        id=fact_id(ContactIdentityChanged.type, str(when), str(before), str(after)),
        **about(when, waba, number),
        previous_wa_id=before[0],
        previous_user_id=before[1],
        current_wa_id=after[0],
        current_user_id=after[1],
        value={},
    )


def called(
    call: str, when: float, wa_id: str = ANNA, *, event: str = "connect", direction: str = "USER_INITIATED"
) -> CallReported:
    return CallReported(
        id=fact_id(CallReported.type, call, event),
        **about(when),
        call_id=call,
        contact=wa_id,
        event=event,
        direction=direction,
        value={"calls": [{"id": call, "event": event}]},
    )


def in_book(when: float, name: str | None, wa_id: str = ANNA, user_id: str | None = None) -> Event:
    return ContactSynced(
        id=fact_id(ContactSynced.type, wa_id, str(when)),
        **about(when),
        contact=wa_id,
        user_id=user_id,
        action="add" if name else "remove",
        full_name=name,
        value={},
    )


def preference(when: float, choice: str, wa_id: str | None = ANNA, user_id: str | None = None) -> Event:
    return MarketingPreferenceChanged(
        id=fact_id(MarketingPreferenceChanged.type, str(when), choice),
        **about(when),
        contact=wa_id or user_id or "",
        user_id=user_id,
        category="marketing_messages",
        choice=choice,
        value={},
    )


def handed_over(when: float, change: str, wa_id: str = ANNA) -> ThreadControlChanged:
    return ThreadControlChanged(
        id=fact_id(ThreadControlChanged.type, str(when), change),
        **about(when),
        contact=wa_id,
        change=change,
        new_owner_role="escalation",
        value={},
    )


def history(when: float, *, phase: int | None = 0, progress: int | None = None, declined: bool = False) -> Event:
    return HistoryProgressed(
        id=fact_id(HistoryProgressed.type, str(when), str(phase)),
        **about(when),
        phase=phase,
        progress=progress,
        declined=declined,
        error_codes=[2593109] if declined else [],
        value={},
    )


def last(thread: Thread) -> datetime | None:
    """When the last activity was."""
    return thread.summary.last and thread.summary.last[0]


def rules(**others: Any) -> Rules:
    """Everything is kept, identifiers are those of the organisation's portfolio, the service starts at `START`."""
    given: dict[str, Any] = {
        "ids": IDS,
        "scope": _portfolio,
        "started_at": START,
        "kept_from": _always,
        "forgotten_at": _never,
    }
    return Rules(**given | others)


def _portfolio(account: Account) -> str:
    return f"portfolio of {account.org_id}"


def _always(_: Account) -> datetime:
    return datetime.min.replace(tzinfo=UTC)


def _never(_org_id: str, _value: str) -> None:
    return None


def facts(events: Iterable[Event]) -> list[Fact]:
    return [fact for tie, event in enumerate(events) for fact in facts_of(event, event.org_id or ORG, tie)]


def threads(*events: Event, **others: Any) -> list[Thread]:
    """What the tables hold of these events; the conversation with the latest activity first."""
    return threads_of(gather(facts(events), rules(**others)), IDS)


def only_thread(*events: Event, **others: Any) -> Thread:
    found = threads(*events, **others)
    assert len(found) == 1, [thread.place for thread in found]
    return found[0]


def person(value: str, kind: Any = None, org: str = ORG) -> str:
    """The id that the person has who is known by this first."""
    return IDS.identifier(f"portfolio of {org}", kind or ("user_id" if "." in value else "wa_id"), value)
