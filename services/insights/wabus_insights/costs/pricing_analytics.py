"""Meta's own account of what messages cost: what Graph is asked, what its answer says, when a reading counts. Pure.

Sources: Meta, "Analytics" (Business Management API), Pricing analytics; "WhatsApp Business Account Pricing Analytics"
(Graph API reference). Of an account on a partner's credit line `cost` is missing or null, and only `volume` told.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

import orjson
from wabus_events import PricedVolume
from wabus_whatsapp.graph_errors import MalformedAnswer

LOOKED_BACK = timedelta(days=364)
"""Meta tells of the last year and of nothing before."""
READ_AGAIN = timedelta(days=10)
"""So many days are read once more each day, for Meta's numbers and statuses come late."""
SETTLED_AFTER = timedelta(days=4)
"""After that a reading with fewer messages is not a better one: numbers that leave an account take theirs along."""
CHUNK = timedelta(days=31)
"""Days of one question."""
POINTS_MAX = 200_000
"""Points of one answer; with more something is wrong with it."""

_DIMENSIONS = '["PRICING_CATEGORY","PRICING_TYPE","COUNTRY","TIER"]'


class Read(NamedTuple):
    """What was read of a day before."""

    digest: str
    volume: int
    amounts_told: bool


class Span(NamedTuple):
    """Days to ask for, both included."""

    first: date
    last: date


def spans(today: date, complete_from: date | None) -> Iterator[Span]:
    """What has to be asked for, the newest first: the last days, and all that Meta has where nothing was read yet.

    `complete_from` is the first day from which on all has been read once.
    """
    last = today - timedelta(days=1)
    first = today - (READ_AGAIN if complete_from and complete_from <= today - READ_AGAIN else LOOKED_BACK)
    while last >= first:
        begin = max(first, last - CHUNK + timedelta(days=1))
        yield Span(begin, last)
        last = begin - timedelta(days=1)


def fields(span: Span, zone: tzinfo, *, amounts: bool) -> str:
    """The field of an account that is asked for, days by the clocks of a zone.

    >>> fields(Span(date(2026, 11, 1), date(2026, 11, 2)), UTC, amounts=False).split(".")[1:4]
    ['start(1793491200)', 'end(1793664000)', 'granularity(DAILY)']
    """
    start, end = _midnight(span.first, zone), _midnight(span.last + timedelta(days=1), zone)
    metrics = "" if amounts else '.metric_types(["VOLUME"])'
    return f"pricing_analytics.start({start}).end({end}).granularity(DAILY).dimensions({_DIMENSIONS}){metrics}"


def volumes_in(answer: Mapping[str, Any], span: Span, zone: tzinfo) -> dict[date, list[PricedVolume]]:
    """By day, what an answer says; days that it does not mention are empty. Raises `MalformedAnswer`.

    Which day a point is of follows from its middle: Meta may begin days at another hour.
    """
    found: dict[date, dict[tuple[str, str, str, str], PricedVolume]] = {
        span.first + timedelta(days=n): {} for n in range((span.last - span.first).days + 1)
    }
    for point in _points(answer):
        start, end, volume = point.get("start"), point.get("end"), point.get("volume")
        if not isinstance(start, int) or not isinstance(volume, int) or isinstance(volume, bool) or volume < 0:
            raise MalformedAnswer
        middle = (start + end) / 2 if isinstance(end, int) and end > start else start + 43_200
        try:
            day = datetime.fromtimestamp(middle, zone).date()
        except (OverflowError, OSError, ValueError):
            raise MalformedAnswer from None
        if day not in found or not volume:
            continue
        read = PricedVolume(
            country=_text(point.get("country")).upper(),
            pricing_category=_word(point.get("pricing_category")),
            pricing_type=_word(point.get("pricing_type")),
            tier=_text(point.get("tier")),
            volume=volume,
            amount=_amount(point.get("cost")),
        )
        key = (read.country, read.pricing_category, read.pricing_type, read.tier)
        had = found[day].get(key)
        found[day][key] = read if had is None else _added(had, read)
    return {day: [rows[key] for key in sorted(rows)] for day, rows in found.items()}


def amounts_told(volumes: Sequence[PricedVolume]) -> bool:
    """Whether Meta tells what these cost; of nothing it can be taken to."""
    return all(row.amount is not None for row in volumes)


def digest(volumes: Sequence[PricedVolume], currency: str | None) -> str:
    """The same for readings that say the same."""
    rows = [
        [row.country, row.pricing_category, row.pricing_type, row.tier, row.volume, _plain(row.amount)]
        for row in volumes
    ]
    return hashlib.blake2b(orjson.dumps([currency, rows]), digest_size=16).hexdigest()


def is_news(day: date, volumes: Sequence[PricedVolume], known: Read | None, told: str, today: date) -> bool:
    """Whether a reading of a day says other than the one before, and counts; `told` is its digest.

    One without amounts takes the place of one that has some only where it has more messages.
    """
    if known is None:
        return bool(volumes)
    if known.digest == told:
        return False
    volume = sum(row.volume for row in volumes)
    if known.amounts_told and known.volume and not amounts_told(volumes):
        return volume > known.volume
    return today - day <= SETTLED_AFTER or volume >= known.volume


def zone_of(name: str | None) -> tzinfo:
    """The clocks of an account's place; UTC where they are not known."""
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError):
        return UTC


def _points(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The points of all parts of an answer; an account without messages has none."""
    told = answer.get("pricing_analytics")
    if told is None:
        return
    parts = cast(dict[str, Any], told).get("data") if isinstance(told, dict) else None
    if not isinstance(parts, list):
        raise MalformedAnswer
    seen = 0
    for part in cast(list[Any], parts):
        points = cast(dict[str, Any], part).get("data_points", []) if isinstance(part, dict) else None
        if not isinstance(points, list):
            raise MalformedAnswer
        for point in cast(list[Any], points):
            seen += 1
            if not isinstance(point, dict) or seen > POINTS_MAX:
                raise MalformedAnswer
            yield cast(dict[str, Any], point)


def _added(left: PricedVolume, right: PricedVolume) -> PricedVolume:
    amount = None if left.amount is None or right.amount is None else left.amount + right.amount
    return left.model_copy(update={"volume": left.volume + right.volume, "amount": amount})


def _amount(told: object) -> Decimal | None:
    """Meta's floating number as it was written, no finer than we keep amounts."""
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return None
    try:
        amount = Decimal(str(told))
        return amount.quantize(Decimal("0.000001")) if amount.is_finite() and 0 <= amount < 10**11 else None
    except InvalidOperation:
        return None


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount.normalize(), "f")


def _text(told: object) -> str:
    return told[:64] if isinstance(told, str) else ""


def _word(told: object) -> str:
    return _text(told).lower().replace("-", "_")


def _midnight(day: date, zone: tzinfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp())
