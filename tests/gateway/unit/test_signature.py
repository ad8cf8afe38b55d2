"""The signature and the handshake, by example and by hypothesis."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_gateway.webhooks.signature import is_handshake, is_signed, verify_token_of


def header(secret: bytes, body: bytes) -> str:
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


@given(st.binary(), st.lists(st.binary(min_size=1), min_size=1, max_size=4), st.data())
def test_any_of_the_secrets_signs(body: bytes, secrets: list[bytes], data: st.DataObject) -> None:
    assert is_signed(body, header(data.draw(st.sampled_from(secrets)), body), secrets)


@given(st.binary(min_size=1), st.binary(min_size=1), st.integers(min_value=0), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(body: bytes, secret: bytes, place: int, change: int) -> None:
    tampered = bytearray(body)
    tampered[place % len(body)] ^= change
    assert not is_signed(bytes(tampered), header(secret, body), [secret])


def test_every_secret_is_compared_over_the_whole_digest_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    in_constant_time = hmac.compare_digest

    def noted(ours: bytes, theirs: bytes) -> bool:
        compared.append((len(ours), len(theirs)))
        return in_constant_time(ours, theirs)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    secrets, body = [b"first", b"second", b"third"], b"{}"
    genuine = header(b"first", body)
    wrong_at_first, wrong_at_last = "sha256=0" + genuine[8:], genuine[:-1] + ("0" if genuine[-1] != "0" else "1")
    for signature in (genuine, wrong_at_first, wrong_at_last, "sha256=" + "0" * 64):
        compared.clear()
        assert is_signed(body, signature, secrets) is (signature == genuine)
        assert compared == [(32, 32)] * 3


@given(st.text())
def test_no_header_but_a_whole_sha256_is_read(text: str) -> None:
    assert not is_signed(b"{}", text, [b"secret"])


def test_hex_digits_may_be_upper_case() -> None:
    assert is_signed(b"{}", "sha256=" + header(b"s", b"{}")[7:].upper(), [b"s"])


def test_a_handshake_needs_mode_and_token() -> None:
    assert is_handshake("subscribe", "t", "t")
    assert not is_handshake("subscribe", "T", "t")
    assert not is_handshake(None, "t", "t")
    assert not is_handshake("subscribe", None, "t")


def test_each_waba_has_a_verify_token_of_its_own() -> None:
    assert verify_token_of("1", "t") != verify_token_of("2", "t")
    assert verify_token_of("1", "t") == verify_token_of("1", "t")
