"""The signature and the handshake, by example and by hypothesis."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st
from wabus_gateway.signature import is_handshake, is_signed, verify_token_of


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
