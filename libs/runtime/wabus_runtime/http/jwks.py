"""The public keys of an identity provider (JWKS, RFC 7517): fetched once for all who wait, kept, and rotated.

Nobody outside can make us ask often, wait long or read much: a key id never seen asks at most once in a while, an
answer has a size and a time, and while the provider is away the keys that it gave last go on for a while.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MAX_BYTES = 256 * 1024
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
KINDS = ("RSA", "EC", "OKP")  # never "oct": a shared secret has no place in a public set
RSA_BITS_LEAST = 2048  # RFC 7518, section 3.3

log = structlog.get_logger()


class KeysUnavailable(Exception):
    """The provider can't be reached, or gives no key set, and what it gave before is too old."""


class UnknownKey(jwt.PyJWTError):
    """The provider has no such key to sign with."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key, and the only algorithm that it is for, if its provider says so."""

    key: Any
    algorithm: str | None


@dataclass(frozen=True, slots=True)
class JwksTimes:
    """How long keys count, and how often and how long they are asked for, in seconds."""

    lifespan: float = 300.0
    """Until keys are fetched again, and a withdrawn one is forgotten."""
    kept_while_away: float = 3600.0
    """For which keys go on to count while their provider does not answer."""
    timeout: float = 5.0
    """For a whole fetch."""
    refetch_after: float = 10.0
    """Within which neither a key id never seen nor a failure makes it ask again."""


class Jwks:
    """The signing keys behind one URL, by key id."""

    def __init__(self, url: str, times: JwksTimes) -> None:
        self._url = url
        self._times = times
        self._keys: dict[str, SigningKey] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")  # when the last fetch ended, well or not
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: object) -> SigningKey:
        """Raises `UnknownKey`, `KeysUnavailable`."""
        name = key_id if isinstance(key_id, str) else ""
        is_old = self._age() > self._times.lifespan
        if (is_old or name not in self._keys) and _now() - self._tried_at >= self._times.refetch_after:
            self._start_fetching()
        is_away = self._tried_at > self._fetched_at
        if self._fetching and not (is_away and name in self._keys):
            # Whoever hangs up must not take the answer from the others who wait.
            await asyncio.shield(self._fetching)
        if self._age() > self._times.kept_while_away:
            raise KeysUnavailable
        if name not in self._keys:
            raise UnknownKey("no such key")
        return self._keys[name]

    def _age(self) -> float:
        return _now() - self._fetched_at

    def _start_fetching(self) -> None:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._forget_fetch)

    def _forget_fetch(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._times.timeout)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.get(self._url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise ValueError(f"status {answer.status}")
                body = await _bounded(answer.content)
            keys = signing_keys(orjson.loads(body))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._tried_at = _now()
            log.warning("no keys from the identity provider", action="jwks_failed", error=type(error).__name__)
        else:
            self._keys = keys
            self._tried_at = self._fetched_at = _now()
            log.info("keys of the identity provider read", action="jwks_read", keys=len(keys))


def signing_keys(document: Any) -> dict[str, SigningKey]:
    """The keys of a set that may verify a signature, by id; the rest is left out. Raises ValueError if it is no set."""
    listed = cast(dict[str, Any], document).get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a key set")
    found: dict[str, SigningKey] = {}
    for each in cast(list[Any], listed):
        if not isinstance(each, dict):
            continue
        fields = cast(dict[str, Any], each)
        key_id, operations = fields.get("kid"), fields.get("key_ops", ["verify"])
        is_for_signatures = (
            fields.get("kty") in KINDS
            and fields.get("alg", ASYMMETRIC[0]) in ASYMMETRIC
            and fields.get("use", "sig") == "sig"
            and isinstance(operations, list)
            and "verify" in operations
        )
        if not is_for_signatures or not isinstance(key_id, str):
            continue
        try:
            key = jwt.PyJWK.from_dict(fields).key
            if isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_LEAST:
                raise ValueError("an RSA key that is too short")
            found[key_id] = SigningKey(key, fields.get("alg"))
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            log.warning("a key of the identity provider is unusable", action="jwk_unusable")
    return found


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > MAX_BYTES:
            raise ValueError("too large")
    return bytes(body)


def _now() -> float:
    return asyncio.get_running_loop().time()
