"""What a message would cost, for whoever asks before it is sent: Meta's rates and whose account it is, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from wabus_runtime.directory.directory import Directory
from wabus_runtime.directory.prices import Prices
from wabus_whatsapp.prices.markets import place_of
from wabus_whatsapp.prices.message import expected
from wabus_whatsapp.window import window

from wabus_sender.api.wanted import KnownWish
from wabus_sender.tables.people.free_entries import Free


@dataclass(frozen=True)
class Pricing:
    """Prices messages that are not sent yet."""

    directory: Directory
    prices: Prices

    def price(self, known: KnownWish, free: Free, now: datetime) -> Mapping[str, Any]:
        """What a message costs at most that is sent now, or as soon as it may be, as an answer has it."""
        at = max(now, known.wish.not_before or now)
        account = self.directory.account(known.waba_id)
        zone = ZoneInfo(account.time_zone) if account and account.time_zone else UTC
        day = at.astimezone(zone).date()
        hours = self.prices.book.rules_on(day).free_entry_point_hours
        found_window = window(
            at,
            user_last_at=known.user_last_at,
            free_reported_until=free.reported_until,
            free_computed_until=free.answered_at + timedelta(hours=hours) if free.answered_at else None,
        )
        entry = found_window.free_entry_point
        category = known.template.category.lower() if known.template else ""
        if known.wish.kind != "template":
            category = "service"
        found = expected(
            category,
            self.prices.book,
            place_of(known.wish.wa_id, known.wish.user_id),
            account.currency if account else None,
            day,
            window_open=found_window.state == "open",
            free_entry=entry and entry.source,
        )
        return {
            "amount": None if found.amount is None else format(found.amount, "f"),
            "currency": found.currency,
            "known": found.known,
            "market": found.market or None,
            "cheaper": found.cheaper,
            "free_entry_point": {"until": entry.until, "source": entry.source} if entry else None,
        }
