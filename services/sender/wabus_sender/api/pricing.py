"""What a message would cost, for whoever asks before it is sent: Meta's rates and whose account it is, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from wabus_runtime.directory.directory import Directory
from wabus_runtime.directory.prices import Prices
from wabus_whatsapp.prices.markets import place_of
from wabus_whatsapp.prices.message import expected

from wabus_sender.api.wanted import KnownWish


@dataclass(frozen=True)
class Pricing:
    """Prices messages that are not sent yet."""

    directory: Directory
    prices: Prices

    def price(self, known: KnownWish, now: datetime) -> Mapping[str, Any]:
        """What a message costs at most, as an answer has it."""
        account = self.directory.account(known.waba_id)
        zone = ZoneInfo(account.time_zone) if account and account.time_zone else UTC
        category = known.template.category.lower() if known.template else ""
        if known.wish.kind != "template":
            category = "service"
        found = expected(
            category,
            self.prices.book,
            place_of(known.wish.wa_id, known.wish.user_id),
            account.currency if account else None,
            now.astimezone(zone).date(),
            window_open=known.window_open,
        )
        return {
            "amount": None if found.amount is None else format(found.amount, "f"),
            "currency": found.currency,
            "known": found.known,
            "market": found.market or None,
            "cheaper": found.cheaper,
        }
