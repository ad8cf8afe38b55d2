"""What a message would cost is said before it is sent."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sending_world import ORG, Client, Sending, text
from simulated_meta.seed import DEMO_WABA
from wabus_events import AccountChecked, MarketRate, RateBand, RateCardPublished
from wabus_events.testing import an

pytest_plugins = ("support.sending_world",)


async def test_a_check_says_what_a_message_would_cost_and_how_that_is_known(sending: Sending, sender: Client) -> None:
    async def price() -> dict[str, Any]:
        async with sender.post("/messages/check", json=text(), headers=sending.bearer(ORG, "agent")) as answer:
            assert answer.status == 200
            return (await answer.json())["price"]

    unknown = await price()
    assert (unknown["amount"], unknown["currency"], unknown["known"]) == (None, None, "unknown")
    await sending.publisher.publish(
        [
            an(AccountChecked, org_id=ORG, waba_id=DEMO_WABA, currency="EUR", time_zone="Europe/Berlin"),
            RateCardPublished(
                id="card",
                time=datetime.now(UTC),
                currency="EUR",
                effective=date(2026, 10, 1),
                origin="a test",
                rates=[
                    MarketRate(
                        market="Germany", category="utility", bands=[RateBand(first=1, amount=Decimal("0.0456"))]
                    )
                ],
            ),
        ]
    )

    async def known() -> bool:
        return await price() == {
            "amount": "0.0456",
            "currency": "EUR",
            "known": "rated",
            "market": "Germany",
            "cheaper": ["free_allowance", "free_entry_point"],
        }

    await sending.eventually(known)
