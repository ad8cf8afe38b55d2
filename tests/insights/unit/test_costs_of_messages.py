"""What is known of a message's price is joined, and volume tiers are found, whatever comes first."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from itertools import permutations
from uuid import UUID

import pytest
from cost_world import sent, status
from hypothesis import given
from hypothesis import strategies as st
from wabus_events import Event, MessageAccepted, MessageStatusChanged
from wabus_events.testing import an
from wabus_insights.costs.billing import Billing
from wabus_insights.costs.cells import counted, priced
from wabus_insights.costs.charges import Charge, join, of_send, of_status
from wabus_insights.costs.estimating import estimate
from wabus_insights.costs.tiers import Floor, Second, placed, reached, stays
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.card import Band, Column, RateCard, band_of

AT = datetime(2026, 10, 5, 12, tzinfo=UTC)
UTILITY = {"category": "utility", "type": "regular"}
BERLIN = Billing("p", "Europe/Berlin", "EUR")


def charge_of(event: Event) -> Charge:
    if isinstance(event, MessageAccepted):
        return of_send(event, "shop", "t1")[1]
    assert isinstance(event, MessageStatusChanged)
    found = of_status(event, "shop")
    assert found is not None
    return found[1]


def test_what_is_known_of_a_message_is_the_same_in_any_order_and_however_often_it_is_told() -> None:
    told = [
        status("a", "m", "sent", AT, "DE", {"category": "utility", "type": "regular"}),
        status("a", "m", "delivered", AT + timedelta(seconds=2), "DE", {**UTILITY, "type": "free_entry_point"}),
        status("a", "m", "read", AT + timedelta(seconds=9), "DE", None, hidden=True),
        sent("a", "m", "t1", "spring")[1],
    ]
    charges = [charge_of(event) for event in told]
    (known,) = {reduce(join, order) for order in permutations([*charges, charges[1]])}
    assert known.delivered_at == AT + timedelta(seconds=2)
    assert known.pricing is not None
    assert (known.pricing.type, known.place, known.template_id, known.campaign) == (
        "free_entry_point", ("DE", True), "t1", "spring",
    )  # fmt: skip


def test_a_message_is_of_the_template_that_meta_names_even_if_somebody_else_knows_its_name_alone() -> None:
    by_name, by_id, by_nothing = (of_send(an(MessageAccepted), "shop", name)[1] for name in ("x:en", "1", None))
    assert {join(*two).template_id for two in ((by_name, by_id), (by_id, by_name))} == {"1"}
    assert {join(*two).template_id for two in ((by_name, by_nothing), (by_nothing, by_name))} == {"x:en"}


def test_a_message_counts_once_it_is_delivered_or_read_with_a_price_and_not_when_it_is_only_sent() -> None:
    assert counted(charge_of(status("a", "m", "sent", AT, "DE", UTILITY)), BERLIN) is None
    assert counted(charge_of(status("a", "m", "read", AT, "DE", None)), BERLIN) is None
    for what in ("delivered", "read"):
        found = counted(charge_of(status("a", "m", what, AT, "DE", UTILITY)), BERLIN)
        assert found is not None
        assert found.cell.category == "utility"
    assert of_status(status("a", "m", "failed", AT, "DE", None), "shop") is None


def test_a_message_of_a_group_is_charged_for_each_participant() -> None:
    def to(participant: str) -> str:
        event = status("a", "m", "delivered", AT, "DE", {"category": "group_utility", "type": "regular"})
        event = event.model_copy(update={"group_id": "g", "participant": participant, "participant_user_id": None})
        found = of_status(event, "shop")
        assert found is not None
        return found[0]

    assert to("4915100000001") != to("4915100000002")


@pytest.mark.parametrize(
    ("zone", "day"), [("America/Sao_Paulo", date(2026, 12, 31)), ("Europe/Berlin", date(2027, 1, 1)), (None, None)]
)
def test_a_message_is_of_the_day_that_it_is_where_the_account_is(zone: str | None, day: date | None) -> None:
    at = datetime(2027, 1, 1, 1, tzinfo=UTC)
    found = counted(charge_of(status("a", "m", "delivered", at, "DE", UTILITY)), Billing("p", zone, "EUR"))
    assert found is not None
    assert found.cell.day == (day or date(2027, 1, 1))
    assert found.cell.sure == (zone is not None)


def test_what_has_no_rate_has_metas_average_or_no_amount_at_all() -> None:
    found = counted(charge_of(status("a", "m", "delivered", AT, "DE", UTILITY)), BERLIN)
    assert found is not None
    assert priced(found.cell, (), 0, 3, Decimal(0)) == (None, "unknown")
    assert priced(found.cell, (), 0, 3, Decimal(0), Decimal("0.0333333")) == (Decimal("0.100000"), "estimated")
    assert priced(found.cell, [Band(1, Decimal("0.05"))], 0, 3, Decimal(0)) == (Decimal("0.15"), "rated")


CELLS = [UUID(int=n) for n in range(3)]
BANDS = {CELLS[0]: [Band(1, Decimal(3)), Band(4, Decimal(2)), Band(9, Decimal(1))], CELLS[1]: [Band(1, Decimal(1))]}


@given(
    st.dictionaries(st.integers(0, 30), st.tuples(st.sampled_from(CELLS), st.integers(1, 5)), max_size=12),
    st.integers(0, 6),
    st.dictionaries(st.integers(0, 30), st.integers(1, 12), max_size=2),
    st.integers(0, 12),
)
def test_messages_are_in_the_tier_that_they_would_be_in_one_by_one(
    told: dict[int, tuple[UUID, int]], before: int, floors: dict[int, int], split: int
) -> None:
    seconds = [Second(AT + timedelta(seconds=n), cell, messages) for n, (cell, messages) in told.items()]
    known = [Floor(AT + timedelta(seconds=n), first) for n, first in sorted(floors.items())]
    one_by_one: list[tuple[datetime, UUID, int]] = []
    position = before
    for second in sorted(seconds):
        for _ in range(second.messages):
            position += 1
            lowest = max((floor.first for floor in known if floor.at < second.at), default=1)
            bands = BANDS.get(second.cell_id, [Band(1, Decimal(1))])
            one_by_one.append((second.at, second.cell_id, band_of(bands, max(position, lowest))))
    found = placed(before, seconds, BANDS, known)
    assert [(each.at, each.cell_id, each.band) for each in found for _ in range(each.messages)] == one_by_one
    # What comes after some others is placed as if all were placed at once.
    early, late = sorted(seconds)[:split], sorted(seconds)[split:]
    rest = placed(before + sum(second.messages for second in early), late, BANDS, known)
    assert placed(before, early, BANDS, known) + rest == found


def test_all_stay_in_their_tier_only_where_none_begins_between_them() -> None:
    assert stays(0, 3, {4, 9})
    assert not stays(0, 4, {4, 9})
    assert stays(3, 8, {4, 9})
    assert not stays(3, 9, {4, 9})


@pytest.mark.parametrize(
    "info",
    [
        {}, {"tier": "x:y"}, {"effective_month": "2025-13"}, {"region": "Atlantis"}, {"pricing_category": "MARKETING"},
        {"tier_update_time": "soon"}, {"tier_update_time": 10**30},
    ],
)  # fmt: skip
def test_a_tier_that_cant_be_read_says_nothing(info: dict[str, object]) -> None:
    told = {
        "tier_update_time": 1743451903, "pricing_category": "UTILITY", "tier": "25000001:50000000",
        "effective_month": "2025-11", "region": "India",
    }  # fmt: skip
    found = reached({"volume_tier_info": told | info}) if info else reached({})
    assert found is None
    right = reached({"volume_tier_info": told})
    assert right is not None
    assert (right.market, right.category, right.floor.first) == ("India", "utility", 25_000_001)


def test_an_estimate_is_between_what_the_month_has_come_to_and_the_list_rate() -> None:
    card = RateCard(
        "EUR",
        date(2026, 10, 1),
        {
            ("germany", "utility"): (Band(1, Decimal("0.05")), Band(101, Decimal("0.04"))),
            ("brazil", "utility"): (Band(1, Decimal("0.01")),),
        },
    )
    book, day = PriceBook([card]), date(2026, 11, 5)
    utility, service = Column("utility", True), Column("service", False)
    found = estimate({"DE": 10, "KR": 2}, utility, book, "EUR", day, charged={"Germany": 95}, service_used=0)
    assert (found.low, found.high, found.unpriced) == (Decimal("0.45"), Decimal("0.50"), 2)
    # Of what is free nobody knows whom it goes to: at least it costs as if the dearest were free.
    found = estimate({"DE": 10, "BR": 10}, service, book, "EUR", day, charged={}, service_used=985)
    assert (found.low, found.high, found.free) == (Decimal("0.05"), Decimal("0.60"), 15)
    september = estimate({"DE": 10}, utility, book, "EUR", date(2026, 9, 30), charged={}, service_used=0)
    assert (september.low, september.unpriced) == (None, 10)


def test_a_status_of_a_payment_says_nothing_of_a_price() -> None:
    event = an(MessageStatusChanged, status="delivered", value={"statuses": [{"type": "payment", "pricing": UTILITY}]})
    assert of_status(event, "shop") is None
