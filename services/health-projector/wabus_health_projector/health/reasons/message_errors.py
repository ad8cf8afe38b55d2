"""What the error codes of failed messages say: of the account, of a number, or of what is sent to whom. Pure.

The codes are in `wabus_whatsapp.sending.errors`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from wabus_whatsapp.sending.errors import MEANINGS, TROUBLES, Trouble

from wabus_health_projector.health.reasons.reason import Reason
from wabus_health_projector.health.traffic import ErrorCount, NumberError, Traffic

FAILING_SHARE = 0.2  # of the messages of a day
FAILING_AT_LEAST = 10  # messages
NOT_REGISTERED = "number_not_registered"
REFUSED_FOR = timedelta(hours=1)  # since Meta last told an error of a number, unless it sends again before


def traffic_reasons(traffic: Traffic, numbers: Mapping[str, str], now: datetime) -> Iterator[Reason]:
    """An error that concerns the account or a number counts until a message is sent again.

    `numbers` has the numbers as people write them, by their ids.
    """
    yield from _refused(traffic, numbers, now)
    found: dict[tuple[str, str], Reason] = {}
    for error, trouble in _lasting(traffic):
        sent_at = _last_sent_at(traffic, error, trouble)
        reason = Reason(
            code=trouble.code,
            severity=trouble.severity,
            message=trouble.message.format(number=_named(error.phone_number_id, numbers)),
            remedy=trouble.remedy,
            since=max(error.first_at, sent_at) if sent_at else error.first_at,
        )
        held = found.setdefault((reason.code, reason.message), reason)
        if held.since and reason.since and reason.since < held.since:
            found[reason.code, reason.message] = reason
    yield from found.values()
    rest = [error for error in traffic.errors if error.code not in TROUBLES]
    failed = traffic.failed - sum(error.count for error in traffic.errors if error.code in TROUBLES)
    if failed >= FAILING_AT_LEAST and failed >= FAILING_SHARE * (traffic.sent + traffic.failed):
        yield _failing(failed, rest)


def numbers_in(code: str, traffic: Traffic, now: datetime) -> frozenset[str]:
    """The ids of the numbers for which `traffic_reasons` has this code."""
    failed = {error.phone_number_id for error, trouble in _lasting(traffic) if trouble.code == code}
    refused = {phone for phone, error in _newest_refusals(traffic, now) if _code(error) == code}
    return frozenset(failed | refused)


def _code(error: NumberError) -> str | None:
    return TROUBLES[error.code].code if error.code in TROUBLES else None


def _lasting(traffic: Traffic) -> Iterator[tuple[ErrorCount, Trouble]]:
    """The errors of an account or a number since which nothing was sent."""
    for error in traffic.errors:
        trouble = TROUBLES.get(error.code)
        if trouble is None:
            continue
        sent_at = _last_sent_at(traffic, error, trouble)
        if not (sent_at and sent_at > error.last_at):
            yield error, trouble


def _newest_refusals(traffic: Traffic, now: datetime) -> Iterator[tuple[str, NumberError]]:
    """What Meta told last of each number with no message, while it lasts."""
    newest: dict[str, NumberError] = {}
    for error in sorted(traffic.of_numbers, key=lambda each: (each.last_at, each.code)):
        newest[error.phone_number_id] = error
    for phone, error in sorted(newest.items()):
        sent_at = traffic.last_sent_at.get(phone)
        if now - error.last_at < REFUSED_FOR and not (sent_at and sent_at > error.last_at):
            yield phone, error


def _refused(traffic: Traffic, numbers: Mapping[str, str], now: datetime) -> Iterator[Reason]:
    """What Meta told of a number with no message."""
    for phone, error in _newest_refusals(traffic, now):
        sent_at = traffic.last_sent_at.get(phone)
        known = MEANINGS.get(error.code)
        trouble = TROUBLES.get(error.code)
        why = f" because {known.what}" if known else ""
        yield Reason(
            code=trouble.code if trouble else "sending_refused",
            severity=trouble.severity if trouble else "degraded",
            message=trouble.message.format(number=_named(phone, numbers))
            if trouble
            else f"{_named(phone, numbers)} could not send{why} (Meta's error {error.code}).",
            remedy=trouble.remedy if trouble else known.remedy if known else _LOOK_UP,
            since=max(error.first_at, sent_at) if sent_at else error.first_at,
        )


def _named(phone_number_id: str, numbers: Mapping[str, str]) -> str:
    return f"The number {numbers[phone_number_id]}" if phone_number_id in numbers else "Your phone number"


def _last_sent_at(traffic: Traffic, error: ErrorCount, trouble: Trouble) -> datetime | None:
    if trouble.of_number and error.phone_number_id:  # failures of before these were counted by number have none
        return traffic.last_sent_at.get(error.phone_number_id)
    return max(traffic.last_sent_at.values(), default=None)


def _failing(failed: int, errors: list[ErrorCount]) -> Reason:
    """Names the commonest cause of all, and what to do about that."""
    counts: dict[int, int] = {}
    for error in errors:
        counts[error.code] = counts.get(error.code, 0) + error.count
    commonest = sorted(counts, key=lambda code: (-counts[code], code))
    known = MEANINGS.get(commonest[0]) if commonest else None
    listed = ", ".join(str(code) for code in commonest[:3])
    message = f"{failed} messages of the last day could not be delivered"
    if known:
        because = counts[commonest[0]]
        message += f" because {known.what}" if because == failed else f", {because} of them because {known.what}"
    return Reason(
        code="messages_failing",
        severity="degraded",
        message=message + (f" (Meta's error {listed})." if listed else "."),
        remedy=known.remedy if known else _LOOK_UP,
        since=min((error.first_at for error in errors), default=None),
    )


_LOOK_UP = "Look the error code up in Meta's list of Cloud API error codes."
