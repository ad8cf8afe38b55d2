"""What an outgoing message counts for, whatever is told of it, in whatever order."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_events import MessageReceived, MessageStatusChanged, WabaEvent
from wabus_events.testing import an
from wabus_insights.performance.attribution import Act, Template, attributed
from wabus_insights.performance.counting import (
    COUNTS,
    READ_BUCKETS,
    Share,
    Tally,
    read_after,
    read_bucket,
    read_quantile,
    share,
)
from wabus_insights.performance.facts import Acted, Fact, Reported, Who, facts_of
from wabus_insights.performance.message import Acceptance, Bit, Message, Place, Pricing, join

AT = datetime(2026, 11, 1, 10, 30, tzinfo=UTC)
moments = st.integers(0, 5).map(lambda hours: AT + timedelta(hours=hours))
people = st.sampled_from((None, "n1", "n2"))
acceptances = st.none() | st.builds(
    Acceptance, moments, st.just("template"), st.sampled_from(("", "t1", "t2")), st.integers(0, 2), number_id=people,
    user_id=people, day=st.none() | moments.map(datetime.date),
)  # fmt: skip
pricings = st.none() | st.builds(
    Pricing, moments, st.sampled_from((None, True, False)), category=st.sampled_from(("", "marketing", "utility")),
    cost=st.sampled_from((None, Decimal("0.035"), Decimal("0.05"))),
)  # fmt: skip
parts = st.builds(
    Message, st.just("m"), st.just("acme"), st.sampled_from(("1", "2")), st.just("9"), moments, acceptances,
    st.sampled_from((Place(), Place(False, "US"), Place(True, "DE"))), st.integers(0, 255), st.none() | moments,
    st.none() | moments, st.none() | st.sampled_from((131026, 131049)), pricings,
)  # fmt: skip


def accepted(**changed: Any) -> Message:
    acceptance = Acceptance(AT, "template", "t1", 3)
    return Message("m", "acme", "1", "9", AT, acceptance, Place(True, "DE"))._replace(**changed)


def counts(message: Message) -> dict[str, int]:
    found = share(message)
    assert found
    return {name: count for name, count in zip(COUNTS, found.counts, strict=True) if count}


def facts(event: WabaEvent) -> list[Fact]:
    return list(
        facts_of(event, "acme", lambda _org_id, number, user: Who(number, user), lambda _waba_id, at: at.date())
    )


def status(word: str, **more: Any) -> Message:
    item = {"status": word} | more.pop("item", {})
    event = an(
        MessageStatusChanged, status=word, contact="491", user_id=None, value={"statuses": [item]}, time=AT,
        phone_number_id="9", wamid="w", **more,
    )  # fmt: skip
    (fact,) = facts(event)
    assert isinstance(fact, Reported)
    return fact.message


@given(parts, parts, parts)
def test_what_is_told_may_come_in_any_order_and_twice(one: Message, two: Message, three: Message) -> None:
    assert join(one, two) == join(two, one)
    assert join(one, join(two, three)) == join(join(one, two), three)
    assert join(join(one, two), two) == join(one, two)


@given(parts)
def test_no_rate_exceeds_the_whole(part: Message) -> None:
    found = share(part)
    if found is None:
        return
    named = dict(zip(COUNTS, found.counts, strict=True))
    assert 1 == named["accepted"] >= named["sent"] >= named["delivered"] >= named["read"] >= named["played"]
    assert named["delivered"] + named["failed"] <= 1
    assert (found.failed_code is not None) == bool(named["failed"])


@given(st.lists(parts, min_size=1, max_size=6))
def test_counts_are_at_any_moment_the_sum_over_all_messages(told: list[Message]) -> None:
    tally, before = Tally(), None
    for part in told:
        after = join(before, part) if before else part
        tally.change(before, after)
        before = after
    assert before
    wanted = share(before)
    assert tally.cohorts() == ([(wanted.cohort, wanted.counts)] if wanted else [])


def test_a_read_two_days_later_counts_in_the_hour_of_acceptance() -> None:
    late = accepted(bits=int(Bit.READ), read_at=AT + timedelta(days=2))
    found = share(late)
    assert isinstance(found, Share)
    assert found.cohort.hour == AT.replace(minute=0)
    assert counts(late) == {"accepted": 1, "sent": 1, "delivered": 1, "read": 1}


def test_what_went_out_after_midnight_in_india_counts_for_that_day_there() -> None:
    acceptance = Acceptance(AT, "template", "t1", 3, day=AT.date() + timedelta(days=1))
    found = share(accepted(acceptance=acceptance))
    assert isinstance(found, Share)
    assert (found.cohort.hour, found.cohort.day) == (AT.replace(minute=0), AT.date() + timedelta(days=1))


def test_what_was_delivered_has_not_failed_whatever_is_told_later() -> None:
    assert "failed" not in counts(accepted(bits=Bit.FAILED | Bit.DELIVERED))
    assert counts(accepted(bits=int(Bit.FAILED)))["failed"] == 1


def test_what_is_no_template_counts_for_none() -> None:
    assert share(accepted(acceptance=Acceptance(AT, "text"))) is None
    assert share(accepted(acceptance=None)) is None


def test_a_reply_counts_for_the_last_template_only() -> None:
    x, y = Template("x", AT, "9", "n", None), Template("y", AT + timedelta(hours=21), "9", "n", None)
    reply = Act(AT + timedelta(hours=23), Bit.REPLIED, "9", "n", "u")
    for templates in permutations((x, y)):
        assert attributed(templates, [reply, reply]) == {"x": 0, "y": Bit.REPLIED}
    assert attributed([x], [reply]) == {"x": Bit.REPLIED}


def test_an_answer_to_one_template_is_not_lost_because_a_later_one_never_came() -> None:
    came, lost = Template("x", AT, "9", "n", None), Template("y", AT + timedelta(hours=2), "9", "n", None, lost=True)
    reply = Act(AT + timedelta(hours=3), Bit.REPLIED, "9", "n", None)
    assert attributed([came, lost], [reply]) == {"x": Bit.REPLIED, "y": 0}


@pytest.mark.parametrize(
    ("bit", "hours", "counted"),
    [(Bit.REPLIED, 24, True), (Bit.REPLIED, 24.1, False), (Bit.STOPPED, 167, True), (Bit.STOPPED, 169, False)],
)
def test_a_reply_counts_for_a_day_and_a_stop_for_a_week(bit: Bit, hours: float, counted: bool) -> None:
    act = Act(AT + timedelta(hours=hours), bit, "9", None, "u")
    assert attributed([Template("x", AT, "9", "n", "u")], [act]) == {"x": bit if counted else 0}


def test_a_reply_within_the_second_of_acceptance_came_after_it() -> None:
    sent = Template("x", AT + timedelta(milliseconds=700), "9", "n", None)
    assert attributed([sent], [Act(AT, Bit.REPLIED, "9", "n", None)]) == {"x": Bit.REPLIED}


def test_a_reply_to_another_number_counts_for_none() -> None:
    assert attributed([Template("x", AT, "9", "n", None)], [Act(AT, Bit.REPLIED, "10", "n", None)]) == {"x": 0}


def test_a_status_has_the_price_that_meta_tells() -> None:
    told = {"billable": True, "pricing_model": "PMP", "category": "marketing", "type": "regular"}
    priced = status("delivered", item={"pricing": told | {"cost": {"amount": 0.035, "currency": "usd"}}})
    assert priced.pricing == Pricing(AT, True, "PMP", "marketing", "regular", Decimal("0.035"), "USD")
    assert priced.place == Place(True, "DE")
    for nonsense in ({"amount": "NaN", "currency": "USD"}, {"amount": True, "currency": "USD"}, "a lot", {"amount": 1}):
        pricing = status("delivered", item={"pricing": told | {"cost": nonsense}}).pricing
        assert pricing is not None
        assert pricing.cost is None


def test_a_payment_says_nothing_of_a_message() -> None:
    paid = {"statuses": [{"type": "payment", "status": "captured"}]}
    assert facts(an(MessageStatusChanged, status="failed", value=paid)) == []


def test_a_pressed_button_is_a_click_of_its_message_and_a_reply() -> None:
    item = {"type": "button", "context": {"id": "w"}, "button": {"text": "Yes"}}
    pressed = an(MessageReceived, contact="491", message_type="button", phone_number_id="9", value={"messages": [item]})
    click, reply = facts(pressed)
    assert isinstance(click, Reported)
    assert click.message.message_id == status("read").message_id
    assert click.message.bits == Bit.CLICKED
    assert isinstance(reply, Acted)


def test_a_thumb_or_a_notice_of_the_system_is_no_reply() -> None:
    for kind in ("reaction", "edit", "revoke", "system"):
        assert facts(an(MessageReceived, contact="491", message_type=kind, value={})) == []


@given(st.integers(0, READ_BUCKETS - 1), st.integers(1, 50))
def test_the_median_time_to_read_is_within_its_bucket(bucket: int, count: int) -> None:
    median = read_quantile([(bucket, count)], 0.5)
    assert median is not None
    assert read_bucket(timedelta(seconds=median)) == bucket
    assert read_after(bucket) <= median
    assert read_quantile([], 0.5) is None
