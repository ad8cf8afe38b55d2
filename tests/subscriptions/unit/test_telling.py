"""What is told, to whom, how it is signed, and when telling stops."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_events import CREDENTIALS, EVENTS, HealthChanged, MessageReceived, fact_id
from wabus_events.testing import example
from wabus_runtime.outbox.standard_webhook import headers_of, seconds_asked
from wabus_runtime.outbox.standard_webhook import secrets_of as secrets_in
from wabus_subscriptions.telling import positions, signing
from wabus_subscriptions.telling.addresses import RefusedAddress, host_and_port
from wabus_subscriptions.telling.pausing import FAILING_FOR, reason_to_pause
from wabus_subscriptions.telling.payload import body_of
from wabus_subscriptions.telling.types import NAMES, TOLD, unknown, wants

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
KEY = bytes(32)
EXAMPLES = [example(event) for event in EVENTS.values()]
HEALTH = HealthChanged(id=fact_id("h", "1"), time=NOW, org_id="acme", source="/wabus/x", to_status="failing", since=NOW)


def test_a_webhook_says_all_that_the_event_in_kafka_does() -> None:
    body = orjson.loads(body_of(HEALTH) or b"")

    assert body["type"] == "wabus.HealthChanged.v1"
    assert body["timestamp"] == "2026-11-30T12:00:00Z"
    assert (body["org_id"], body["source"]) == ("acme", "/wabus/x")
    assert body["data"]["to_status"] == "failing"


def test_what_is_private_to_us_is_told_to_nobody() -> None:
    private = [event for event in EXAMPLES if event.topic not in TOLD]

    assert any(event.topic == CREDENTIALS for event in private)
    for event in private:
        assert body_of(event) is None
        assert not wants(None, event)


def test_an_event_of_every_name_is_told() -> None:
    told = {type(event).__name__ for event in EXAMPLES if body_of(event) is not None}

    assert told == {name.split(".")[1] for name, event in EVENTS.items() if event.topic in TOLD} == NAMES
    assert unknown(["HealthChanged", "HealthLost", "BudgetAlerted"]) == ["HealthLost"]
    assert wants(["HealthChanged"], HEALTH)
    assert not wants([MessageReceived.__name__], HEALTH)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "https://",
        "https://user@hooks.example.com/",
        "https://:secret@hooks.example.com/",
        "https://hooks.example.com/#part",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com:0/",
        "https://hooks.example.com@127.0.0.1/",
        "https://hooks.example.com\\@127.0.0.1/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://API.INTERNAL/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3:8443/",
        "https://localhost/",
        "https://api.internal/",
        "https://printer.local/",
        "https://[broken/",
        "https://hooks.example.com/" + "x" * 3000,
        "https://hooks.example.com/ x",
        "//hooks.example.com/",
        "hooks.example.com",
    ],
)
def test_an_address_that_leads_into_our_network_or_is_none_is_refused(url: str) -> None:
    with pytest.raises(RefusedAddress) as refused:
        host_and_port(url, private=False)
    assert "hooks.example.com" not in str(refused.value)


def test_a_public_address_is_taken_and_a_private_one_where_the_operator_says_so() -> None:
    assert host_and_port("https://hooks.example.com/a?b=c", private=False) == ("hooks.example.com", 443)
    assert host_and_port("https://93.184.215.14:8443/", private=False) == ("93.184.215.14", 8443)
    assert host_and_port("http://localhost:8090/", private=True) == ("localhost", 8090)


def test_a_receiver_s_library_accepts_what_either_secret_of_a_rotation_signs() -> None:
    secrets = signing.secrets_of(KEY, "s", 2, [NOW], NOW + timedelta(hours=1))
    headers = headers_of("event", b"{}", secrets, NOW)

    assert secrets[1:] == signing.secrets_of(KEY, "s", 1, [], NOW)
    assert secrets_in(",".join(map(signing.text_of, secrets))) == secrets
    signed = f"event.{headers['webhook-timestamp']}.{{}}".encode()
    for secret, signature in zip(secrets, headers["webhook-signature"].split(), strict=True):
        digest = hmac.new(secret, signed, hashlib.sha256).digest()
        assert signature == "v1," + base64.b64encode(digest).decode()


def test_a_day_after_a_rotation_the_earlier_secret_signs_nothing() -> None:
    assert len(signing.secrets_of(KEY, "s", 2, [NOW], NOW + signing.BOTH_SIGN)) == 1
    assert signing.secrets_of(KEY, "s", 2, [NOW], NOW)[0] != signing.secrets_of(KEY, "t", 2, [NOW], NOW)[0]


def test_a_receiver_that_has_the_first_secret_still_is_told_though_it_was_replaced_twice_within_an_hour() -> None:
    (first,) = signing.secrets_of(KEY, "s", 1, [], NOW)
    rotations = [NOW + timedelta(hours=1), NOW]

    assert signing.secrets_of(KEY, "s", 3, rotations, NOW + timedelta(hours=2))[2] == first
    # A day after it was replaced it signs nothing, whatever came after it.
    assert len(signing.secrets_of(KEY, "s", 3, rotations, NOW + signing.BOTH_SIGN)) == 2
    assert len(signing.secrets_of(KEY, "s", 3, rotations, NOW + timedelta(hours=25))) == 1


@given(st.lists(st.integers(0, 72), max_size=12))
def test_each_secret_signs_for_a_day_after_it_was_replaced_however_often_somebody_tries(hours: list[int]) -> None:
    rotations: list[datetime] = []
    replaced: dict[bytes, datetime] = {}
    for hour in sorted(hours):
        now = NOW + timedelta(hours=hour)
        if signing.rotated_again_at(rotations, now) is None:
            replaced[signing.secrets_of(KEY, "s", len(replaced) + 1, rotations, now)[0]] = now
            rotations = [now, *rotations][: signing.ROTATIONS_MOST]
        found = signing.secrets_of(KEY, "s", len(replaced) + 1, rotations, now)
        assert set(found[1:]) == {one for one, at in replaced.items() if now < at + signing.BOTH_SIGN}
        assert len(found) <= signing.ROTATIONS_MOST + 1


def test_a_receiver_that_is_in_trouble_for_an_hour_is_told_and_one_that_is_gone_is_not() -> None:
    assert reason_to_pause(503, None, NOW - timedelta(hours=1), NOW, last=True) is None
    assert reason_to_pause(None, "TimeoutError", NOW - timedelta(hours=1), NOW, last=True) is None
    assert reason_to_pause(410, None, NOW, NOW, last=False) == "gone"
    assert reason_to_pause(None, "PrivateAddress", NOW, NOW, last=False) == "private_address"
    assert reason_to_pause(503, None, NOW - FAILING_FOR, NOW, last=True) == "failing"


def test_a_receiver_that_is_told_once_a_week_is_not_paused_for_two_restarts_of_its_own() -> None:
    assert reason_to_pause(503, None, NOW - timedelta(days=7), NOW, last=False) is None


def test_a_receiver_that_asks_for_time_gets_it() -> None:
    assert seconds_asked("120") == 120
    for nothing in (None, "", "-5", "soon", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "²"):
        assert seconds_asked(nothing) == 0


PLACES = st.dictionaries(st.tuples(st.sampled_from(("a", "b")), st.integers(0, 2)), st.integers(0, 9))


@given(PLACES, PLACES)
def test_whoever_goes_on_misses_nothing_between_where_they_were_and_where_others_are(
    told: dict[tuple[str, int], int], until: dict[tuple[str, int], int]
) -> None:
    read = {
        (place, offset)
        for place, begin in positions.behind(told, until).items()
        for offset in range(begin, until[place])
    }

    assert read == {(place, n) for place, end in until.items() for n in range(told.get(place, 0), end)}


@given(PLACES, PLACES)
def test_going_back_never_skips_what_was_not_told(
    told: dict[tuple[str, int], int], since: dict[tuple[str, int], int]
) -> None:
    found = positions.lowest(told, since)

    assert set(found) == {*told, *since}
    assert all(found[place] == min(told.get(place, 99), since.get(place, 99)) for place in found)
    assert positions.read([(str(t), int(p), int(o)) for t, p, o in positions.stored(found)]) == found
