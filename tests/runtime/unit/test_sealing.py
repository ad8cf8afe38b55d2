"""A token opens with its key, for its organisation and WABA, and in no other way."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from wabus_events import CredentialStored
from wabus_runtime.credentials.sealing import CannotOpen, Keyring, Sealed
from wabus_runtime.settings import CredentialSettings

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()


def keyring(*keys: str) -> Keyring:
    return Keyring(CredentialSettings.model_validate({"credential_keys": ",".join(keys)}))


def credential(sealed: Sealed, **other: Any) -> CredentialStored:
    fields: dict[str, Any] = {
        "id": "1",
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "org_id": "demo",
        "waba_id": "7",
        "key_id": sealed.key_id,
        "nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
    }
    return CredentialStored.model_validate({**fields, **other})


@given(st.text())
def test_what_was_sealed_opens(token: str) -> None:
    sealed = keyring(OLD).seal(SecretStr(token), org_id="demo", waba_id="7")
    assert keyring(OLD).open(credential(sealed)).get_secret_value() == token
    assert not token or token not in repr(sealed) or len(token) < 4


def test_after_a_rotation_old_credentials_open_and_new_ones_are_sealed_with_the_new_key() -> None:
    sealed = keyring(OLD).seal(SecretStr("token"), org_id="demo", waba_id="7")
    rotated = keyring(NEW, OLD)
    assert rotated.open(credential(sealed)).get_secret_value() == "token"
    assert rotated.seal(SecretStr("token"), org_id="demo", waba_id="7").key_id == "new"


@pytest.mark.parametrize(
    "change",
    [{"org_id": "other"}, {"waba_id": "8"}, {"key_id": "new"}, {"nonce": "AAAA"}, {"ciphertext": "not base64"}],
)
def test_a_credential_that_was_moved_or_changed_does_not_open(change: dict[str, str]) -> None:
    sealed = keyring(OLD).seal(SecretStr("token"), org_id="demo", waba_id="7")
    with pytest.raises(CannotOpen) as caught:
        keyring(OLD, NEW).open(credential(sealed, **change))
    assert "token" not in str(caught.value)


def test_the_same_token_is_never_sealed_to_the_same_bytes() -> None:
    first, second = (keyring(OLD).seal(SecretStr("token"), org_id="demo", waba_id="7") for _ in range(2))
    assert first.ciphertext != second.ciphertext
