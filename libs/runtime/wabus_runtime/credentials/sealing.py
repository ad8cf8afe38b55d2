"""Access tokens sealed with AES-256-GCM (NIST SP 800-38D), under keys with ids so that they can be rotated."""

import base64
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr
from wabus_events import CredentialStored

from wabus_runtime.settings import CredentialSettings, parse_keys


class CannotOpen(Exception):
    """A credential was sealed with a key that is not in `CREDENTIAL_KEYS`, or has been tampered with or moved."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Base64 nonce and ciphertext, and the id of the key that opens it."""

    key_id: str
    nonce: str
    ciphertext: str


class Keyring:
    """The keys of `CREDENTIAL_KEYS`: the first one seals, all of them open."""

    def __init__(self, settings: CredentialSettings) -> None:
        keys = parse_keys(settings.credential_keys)
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._sealing = next(iter(keys))

    @property
    def sealing_key_id(self) -> str:
        return self._sealing

    def seal(self, token: SecretStr, *, org_id: str, waba_id: str) -> Sealed:
        """Seal a token so that it opens for this organisation and WABA only."""
        nonce = os.urandom(12)
        sealed = self._ciphers[self._sealing].encrypt(
            nonce, token.get_secret_value().encode(), _bound_to(org_id, waba_id)
        )
        return Sealed(self._sealing, base64.b64encode(nonce).decode(), base64.b64encode(sealed).decode())

    def seal_text(self, text: str, *, purpose: str) -> str:
        """Seal a text that leaves us and comes back, such as an OAuth state, so that it fits into a URL."""
        nonce = os.urandom(12)
        sealed = nonce + self._ciphers[self._sealing].encrypt(nonce, text.encode(), _for_purpose(purpose))
        return f"{self._sealing}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"

    def open_text(self, sealed: str, *, purpose: str) -> str:
        """The text, if it was sealed by us for this purpose. Raises `CannotOpen`."""
        key_id, _, encoded = sealed.rpartition(".")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise CannotOpen("it was not sealed with one of our keys")
        try:
            raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            if base64.urlsafe_b64encode(raw).decode().rstrip("=") != encoded:
                # Python skips what is not in the alphabet: a text used up could come back looking like another.
                raise ValueError
            return cipher.decrypt(raw[:12], raw[12:], _for_purpose(purpose)).decode()
        except (InvalidTag, ValueError):
            raise CannotOpen("it was not sealed by us for this") from None

    def open(self, credential: CredentialStored) -> SecretStr:
        """The token. Raises `CannotOpen`."""
        cipher = self._ciphers.get(credential.key_id)
        if cipher is None:
            raise CannotOpen(f"CREDENTIAL_KEYS has no key {credential.key_id!r}")
        try:
            token = cipher.decrypt(
                base64.b64decode(credential.nonce),
                base64.b64decode(credential.ciphertext),
                _bound_to(credential.org_id or "", credential.waba_id),
            )
        except (InvalidTag, ValueError):
            raise CannotOpen(f"the credential of WABA {credential.waba_id} does not open") from None
        return SecretStr(token.decode())


def _for_purpose(purpose: str) -> bytes:
    return f"purpose\x1f{purpose}".encode()


def _bound_to(org_id: str, waba_id: str) -> bytes:
    return f"{org_id}\x1f{waba_id}".encode()
