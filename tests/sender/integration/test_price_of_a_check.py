"""What a message would cost is said before it is sent."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from sending_world import ORG, PERSON, Client, Sending, received, status, text
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import AccountChecked, Event, MarketRate, MessageAccepted, RateBand, RateCardPublished
from wabus_events.testing import an

pytest_plugins = ("support.sending_world",)


async def test_a_check_says_what_a_message_would_cost_and_how_that_is_known(sending: Sending, sender: Client) -> None:
    async def price() -> dict[str, Any]:
        async with sender.post("/messages/check", json=text(), headers=sending.bearer(ORG, "agent")) as answer:
            assert answer.status == 200
            return (await answer.json())["price"]

    unknown = await price()
    assert (unknown["amount"], unknown["currency"], unknown["known"]) == (None, None, "unknown")
    await sending.publisher.publish(prices())

    async def known() -> bool:
        return await price() == {
            "amount": "0.0456",
            "currency": "EUR",
            "known": "rated",
            "market": "Germany",
            "cheaper": ["free_allowance", "free_entry_point"],
            "free_entry_point": None,
        }

    await sending.eventually(known)


async def test_nobody_is_told_a_price_of_what_is_free_to_who_came_by_an_ad(sending: Sending, sender: Client) -> None:
    """Free from the first answer on, by the times; then by what Meta says; and not a moment longer."""
    now = datetime.now(UTC).replace(microsecond=0)

    async def price(**more: Any) -> dict[str, Any]:
        body = text(**more)
        async with sender.post("/messages/check", json=body, headers=sending.bearer(ORG, "agent")) as answer:
            assert answer.status == 200
            return (await answer.json())["price"]

    async def told(amount: str | None, known: str, source: str | None, until: datetime | None) -> None:
        async def is_so() -> bool:
            found = await price()
            entry = found["free_entry_point"]
            return (found["amount"], found["known"], entry and entry["source"]) == (amount, known, source) and (
                until is None or datetime.fromisoformat(entry["until"]) == until
            )

        await sending.eventually(is_so)

    came = received(PERSON, at=now - timedelta(hours=2))
    ad = {"messages": [{"id": came.wamid, "type": "text", "referral": {"source_type": "ad"}}]}
    await sending.publisher.publish([*prices(), came.model_copy(update={"value": ad})])
    await told("0.0456", "rated", None, None)

    answer = an(
        MessageAccepted, org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE, time=now - timedelta(hours=1),
        send_id=str(uuid4()), attempt=1, wamid="wamid.B", wa_id=PERSON, kind="text",
    )  # fmt: skip
    later = answer.model_copy(update={"id": "later", "time": now, "send_id": str(uuid4()), "wamid": "wamid.C"})
    await sending.publisher.publish([later, answer])
    await told("0", "estimated", "computed", now + timedelta(hours=71))

    until = now + timedelta(hours=70)
    conversation = {"origin": {"type": "referral_conversion"}, "expiration_timestamp": str(int(until.timestamp()))}
    sent = status(str(uuid4()), wamid="wamid.B")
    value = {"statuses": [{"id": "wamid.B", "status": "sent", "conversation": conversation}]}
    await sending.publisher.publish([sent.model_copy(update={"value": value})])
    await told("0", "free", "reported", until)

    # Of what waits, the price is that of when it may be sent.
    assert (await price(not_before=(until - timedelta(seconds=1)).isoformat()))["known"] == "free"
    assert (await price(not_before=until.isoformat()))["amount"] == "0.0456"


def prices() -> list[Event]:
    """What an account is charged by."""
    utility = MarketRate(market="Germany", category="utility", bands=[RateBand(first=1, amount=Decimal("0.0456"))])
    return [
        an(AccountChecked, org_id=ORG, waba_id=DEMO_WABA, currency="EUR", time_zone="Europe/Berlin"),
        RateCardPublished(
            id="card",
            time=datetime.now(UTC),
            currency="EUR",
            effective=date(2026, 10, 1),
            origin="a test",
            rates=[utility],
        ),
    ]
