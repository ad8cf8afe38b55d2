"""Outgoing webhooks: signed as the Standard Webhooks specification says, tried again in time, to public addresses."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from wabus_runtime.outbox.outbox import Retries
from wabus_runtime.outbox.public_addresses import is_public
from wabus_runtime.outbox.standard_webhook import headers_of, secrets_of

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_example_of_the_specification_has_its_signature() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', secrets_of(SECRET), at)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_each_of_several_secrets_signs() -> None:
    other = "whsec_" + base64.b64encode(b"2" * 32).decode()
    headers = headers_of("x", b"{}", secrets_of(f"{SECRET}, {other}"), NOW)
    signed = b"x.%d.{}" % int(NOW.timestamp())
    expected = base64.b64encode(hmac.new(b"2" * 32, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"].split(" ")[1] == f"v1,{expected}"


def test_a_webhook_is_tried_twelve_times_in_about_six_hours_and_seven_times_if_it_is_refused() -> None:
    retries = Retries()
    for share, least, most in ((0.0, 3.5, 4.5), (1.0, 7.5, 8.5)):
        delays = [retries.delay(attempts, None, share) for attempts in range(1, 12)]
        total = sum((delay for delay in delays if delay), timedelta())
        assert None not in delays
        assert timedelta(hours=least) < total < timedelta(hours=most)
    assert retries.delay(12, 503, 0.5) is None
    assert [retries.delay(attempts, 404, 0) is None for attempts in range(1, 8)] == [False] * 6 + [True]
    assert [retries.delay(7, status, 0) is None for status in (408, 425, 429, 500, 301)] == [False] * 5


def test_a_receiver_that_knows_its_path_no_more_for_five_minutes_of_a_deployment_misses_nothing() -> None:
    waits = [Retries().delay(attempts, 404, 0) for attempts in range(1, 7)]
    assert sum((wait for wait in waits if wait), timedelta()) > timedelta(minutes=5)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1",
        "192.0.0.192", "168.63.129.16", "::10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b:1::a00:1", "fec0::1",
        "3fff::1", "5f00::1",
    ],
)  # fmt: skip
def test_no_webhook_goes_to_an_address_that_only_we_can_reach(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_webhooks_go_to_public_addresses(address: str) -> None:
    assert is_public(address)
