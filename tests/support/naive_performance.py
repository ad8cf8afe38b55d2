"""Histories of what was sent and what people did, and what counts of them: one rule after the other, over all facts.

It shares nothing with what it is the reference for, but the events and Meta's words.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from wabus_events import (
    Event,
    MarketingPreferenceChanged,
    MessageAccepted,
    MessageReceived,
    MessageReported,
    MessageStatusChanged,
    OptedOut,
    SendRequested,
    SendSettled,
)
from wabus_events.testing import an

ORG, WABA = "acme", "100"
ZONE, AHEAD = "Asia/Kolkata", timedelta(hours=5, minutes=30)
"""Of the account: a day of its begins within an hour of UTC."""
NUMBERS = ("9", "10")
PEOPLE: tuple[tuple[str | None, str | None], ...] = (
    ("4915100000001", "DE.1"),
    ("4915100000001", None),
    (None, "DE.1"),
    ("16505551234", "US.2"),
    ("5511987654321", None),
)
"""The first three are one person, as Meta may show them."""
START = datetime(2026, 11, 1, tzinfo=UTC)
LIFE = timedelta(days=30)

hours = st.integers(0, 200) | st.sampled_from((18.25, 18.75, 42.25, 42.75))


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


@st.composite
def sent(draw: st.DrawFn, name: int) -> list[Event]:
    """A message, as far as it is told of: what was asked for, that it was taken, its statuses, a button pressed."""
    number, (wa_id, user_id), hour = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(PEOPLE)), draw(hours)
    send_id, wamid = f"00000000-0000-4000-8000-{name:012d}", f"wamid.{name}"
    template = draw(st.sampled_from((("t1", 1), ("t1", 2), ("t2", 1), (None, None), ("", None))))
    about: dict[str, Any] = {"org_id": ORG, "waba_id": WABA, "phone_number_id": number}
    taken = about | {"wa_id": wa_id, "user_id": user_id, "wamid": wamid, "time": at(hour)}
    kind = "text" if template[0] == "" else "template"
    language = {"name": "hello", "language": {"code": "en"}}
    message = {"type": kind, "template": language} if kind == "template" else {"type": "text"}
    how = draw(st.sampled_from(("sent", "sent", "settled", "reported", "both", "unknown to us")))
    told: list[Event] = []
    if how in ("sent", "settled", "both"):
        named = {"template_name": "hello", "template_language": "en"}
        told.append(
            an(SendRequested, send_id=send_id, kind=kind, lane="marketing", to=wa_id, recipient=user_id,
               message=message,               template_id=template[0] or None, template_version=template[1],
               expires_at=at(hour) + LIFE, time=at(hour - 1), **named, **about)
        )  # fmt: skip
        accepted = SendSettled if how == "settled" else MessageAccepted
        told.append(an(accepted, send_id=send_id, kind=kind, message=message, **taken))
    if how in ("reported", "both"):
        late = taken | {"time": at(hour) + timedelta(seconds=draw(st.sampled_from((-5, 0, 5))))}
        called = "hello" if kind == "template" else None
        told.append(an(MessageReported, kind=kind, message=message, template_name=called, template_language="en",
                       template_id=template[0] or None, **late))  # fmt: skip
    for status in draw(st.lists(st.sampled_from(("sent", "delivered", "read", "played", "failed", "deleted")))):
        codes = draw(st.lists(st.sampled_from((131026, 131049)), max_size=2)) if status == "failed" else []
        time = at(hour) + timedelta(minutes=draw(st.integers(0, 5000)))
        told.append(an(MessageStatusChanged, contact=wa_id or user_id, status=status, error_codes=codes, wamid=wamid,
                       user_id=user_id, value={"statuses": [{"status": status}]}, time=time, **about))  # fmt: skip
    if draw(st.booleans()):
        item = {"type": "button", "context": {"id": wamid}, "button": {"text": "Yes"}}
        time = at(hour) + timedelta(hours=draw(st.integers(0, 40)))
        told.append(an(MessageReceived, contact=wa_id or user_id, user_id=user_id, wamid=f"wamid.b{name}", time=time,
                       message_type="button", value={"messages": [item]}, **about))  # fmt: skip
    return told


@st.composite
def acts(draw: st.DrawFn) -> Event:
    """A person does something."""
    number, (wa_id, user_id), time = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(PEOPLE)), at(draw(hours))
    about: dict[str, Any] = {"org_id": ORG, "waba_id": WABA, "phone_number_id": number, "time": time}
    kind = draw(st.sampled_from(("text", "text", "reaction", "stop", "resume", "opt-out")))
    if kind == "opt-out":
        return an(OptedOut, wa_id=wa_id, user_id=user_id, by="api", **about)
    if kind in ("stop", "resume"):
        return an(MarketingPreferenceChanged, contact=wa_id or user_id, user_id=user_id, category="marketing_messages",
                  choice=kind, value={}, **about)  # fmt: skip
    return an(MessageReceived, contact=wa_id or user_id, user_id=user_id, wamid=f"wamid.{time}", message_type=kind,
              value={"messages": [{"type": kind}]}, **about)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    names = range(draw(st.integers(1, 7)))
    messages = [event for name in names for event in draw(sent(name))]
    return messages + draw(st.lists(acts(), max_size=8))


def naive(history: Sequence[Event]) -> dict[str, Counter[tuple[Any, ...]]]:
    """What counts: by cohort and what, failures by code, times to read by day, bucket left out."""
    requests = {event.send_id: event for event in history if isinstance(event, SendRequested)}
    taken: dict[str, list[dict[str, Any]]] = {}
    for event in history:
        if not isinstance(event, MessageAccepted | MessageReported | SendSettled) or event.kind != "template":
            continue
        request = None if isinstance(event, MessageReported) else requests[event.send_id]
        template_id = request.template_id if request else getattr(event, "template_id", None)
        taken.setdefault(event.wamid, []).append(
            {"at": event.time, "template": template_id or "hello:en", "number": event.phone_number_id,
             "version": (request and request.template_version) or 0, "wa_id": event.wa_id, "user_id": event.user_id}
        )  # fmt: skip
    # Who knows the version knows more; else who was earlier.
    known = {wamid: min(each, key=lambda one: (one["version"] == 0, one["at"])) for wamid, each in taken.items()}
    counted: Counter[tuple[Any, ...]] = Counter()
    failures: Counter[tuple[Any, ...]] = Counter()
    times: Counter[tuple[Any, ...]] = Counter()
    following = _following(history, known)
    for wamid, one in known.items():
        cohort = (one["template"], one["version"], one["number"], _country(one, history, wamid),
                  one["at"].replace(minute=0, second=0, microsecond=0), (one["at"] + AHEAD).date())  # fmt: skip
        told = [event for event in history if isinstance(event, MessageStatusChanged) and event.wamid == wamid]
        words = {event.status for event in told}
        pressed = any(isinstance(event, MessageReceived) and event.wamid == f"wamid.b{wamid[6:]}" for event in history)
        got, was_read = pressed or bool(words & {"delivered", "read", "played"}), bool(words & {"read", "played"})
        what = ["accepted"]
        what += ["sent"] if got or "sent" in words else []
        what += ["delivered"] if got else []
        what += ["read"] if was_read else []
        what += ["played"] if "played" in words else []
        if "failed" in words and not got:
            what.append("failed")
            codes = [code for event in told if event.status == "failed" for code in (event.error_codes or [0])[:]]
            least = [min(event.error_codes, default=0) for event in told if event.status == "failed"]
            assert set(least) <= set(codes)
            failures[(*cohort, min(least))] += 1
        if was_read:
            times[(one["template"], one["version"], (one["at"] + AHEAD).date())] += 1
        what += ["clicked"] if pressed else []
        what += sorted(following.get(wamid, ())) if got else []
        counted.update((*cohort, word) for word in what)
    return {"counts": counted, "failures": failures, "read_times": times}


def _country(one: dict[str, Any], history: Sequence[Event], wamid: str) -> str:
    numbers = {one["wa_id"]} | {
        event.wa_id for event in history if isinstance(event, MessageStatusChanged) and event.wamid == wamid
    }
    for number in sorted(filter(None, numbers)):
        return {"4": "DE", "1": "US", "5": "BR"}[number[0]]
    return one["user_id"][:2]


def _following(history: Sequence[Event], known: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    known = {wamid: one for wamid, one in known.items() if not _lost(history, wamid)}
    for event in history:
        if isinstance(event, MessageReceived) and event.message_type != "reaction":
            word, within = "replied", timedelta(hours=24)
        elif isinstance(event, OptedOut) or (isinstance(event, MarketingPreferenceChanged) and event.choice == "stop"):
            word, within = "stopped", timedelta(days=7)
        else:
            continue
        before = [
            (one["at"], wamid)
            for wamid, one in known.items()
            if one["number"] == event.phone_number_id
            and one["at"] <= event.time
            and ((event.wa_id and event.wa_id == one["wa_id"]) or (event.user_id and event.user_id == one["user_id"]))
        ]
        if not before:
            continue
        last, _ = max(before)
        if event.time - last <= within:
            # Of two that were taken at one moment one has it, and which one does not matter to a cohort of both.
            found.setdefault(max((time, _identity(known[wamid]["number"], wamid), wamid) for time, wamid in before)[2],
                             set()).add(word)  # fmt: skip
    return found


def _lost(history: Sequence[Event], wamid: str) -> bool:
    """Whether it has failed and never came: no status says so, and no button of it was pressed."""
    words = {event.status for event in history if isinstance(event, MessageStatusChanged) and event.wamid == wamid}
    pressed = any(isinstance(event, MessageReceived) and event.wamid == f"wamid.b{wamid[6:]}" for event in history)
    return "failed" in words and not pressed and not words & {"delivered", "read", "played"}


def _identity(number: str, wamid: str) -> str:
    from wabus_whatsapp.ids import message_id

    return message_id(ORG, number, wamid)
