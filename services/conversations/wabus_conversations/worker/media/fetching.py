"""One medium from Meta into the store: its address asked for, its bytes written as they come, its hash compared."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import aiohttp
from pydantic import SecretStr
from wabus_events import CredentialStored
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.graph.download import AddressEnded, downloading
from wabus_whatsapp.graph_errors import (
    AccountBlocked,
    AccountNotFound,
    AppRefused,
    GraphError,
    PermissionLost,
    RateLimited,
    TokenExpired,
)

from wabus_conversations.media.addresses import may_have_token
from wabus_conversations.media.content_types import HEAD_BYTES, found_in
from wabus_conversations.media.fetching import Reason, is_fresh
from wabus_conversations.media.reading import digest
from wabus_conversations.store.objects import MediaStore, StoreUnavailable
from wabus_conversations.tables.media.objects import Content
from wabus_conversations.tables.media.wanted import Wanted


class NotFetched(Exception):
    """An attempt has failed. `wait` is the seconds before which Meta wants no other."""

    def __init__(self, reason: Reason, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class Credentials(Protocol):
    """Who has which account, and its sealed token: a `CredentialCache`."""

    def credential(self, waba_id: str) -> CredentialStored | None:
        """None while it is not connected."""
        ...


Place = Callable[[], Awaitable[str]]
"""Where in the store there is room; asked for when something is about to be written there."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the bytes are, and what Graph says of them where it was asked."""

    url: str
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fetcher:
    """What fetching takes."""

    graph: Graph
    graph_url: str
    session: aiohttp.ClientSession
    credentials: Credentials
    keyring: Keyring
    store: MediaStore
    largest: int
    """Bytes; what is larger is refused."""

    async def fetch(self, wanted: Wanted, place: Place, now: datetime) -> Content:
        """Write a medium to a place in the store. Nothing is there unless this returns. Raises `NotFetched`."""
        token = self._token(wanted)
        try:
            if wanted.url and wanted.attempts == 1 and is_fresh(wanted.at, now) and self._is_metas(wanted.url):
                try:
                    return await self._copy(wanted, place, token, Address(wanted.url))
                except (AddressEnded, TokenExpired):
                    pass  # Graph knows where it is now, and whether the token is good
            return await self._copy(wanted, place, token, await self._ask(wanted, token))
        except AddressEnded:
            raise NotFetched(Reason.META_UNAVAILABLE) from None
        except GraphError as error:
            raise NotFetched(_reason(error), error.wait) from None
        except StoreUnavailable:
            raise NotFetched(Reason.STORE_UNAVAILABLE) from None

    def _token(self, wanted: Wanted) -> SecretStr:
        """The token of whoever has the account, if that is still the organisation whose message it is."""
        credential = self.credentials.credential(wanted.waba_id)
        if credential is None or credential.org_id != wanted.org_id:
            raise NotFetched(Reason.NO_ACCESS)
        try:
            return self.keyring.open(credential)
        except CannotOpen:
            raise NotFetched(Reason.NO_ACCESS) from None

    def _is_metas(self, url: str) -> bool:
        return may_have_token(url, self.graph_url)

    async def _ask(self, wanted: Wanted, token: SecretStr) -> Address:
        answer, _ = await self.graph.call(
            "GET",
            wanted.meta_id,
            token,
            {"phone_number_id": wanted.phone_number_id},
            account=wanted.waba_id,
        )
        url, size = answer.get("url"), _size(answer.get("file_size"))
        if size is not None and size > self.largest:
            raise NotFetched(Reason.TOO_LARGE)
        if not isinstance(url, str):
            raise NotFetched(Reason.META_UNAVAILABLE)
        return Address(url, digest(answer.get("sha256")))

    async def _copy(self, wanted: Wanted, place: Place, token: SecretStr, address: Address) -> Content:
        async with downloading(self.session, address.url, token, self._is_metas) as download:
            if (download.size or 0) > self.largest:
                raise NotFetched(Reason.TOO_LARGE)
            told = [each for each in (wanted.sha256_told, address.sha256) if each]
            reading = _Reading(self.largest, told)
            async with aclosing(reading.checked(download.chunks())) as chunks:
                await self.store.put(await place(), chunks)
        return Content(reading.sha256, reading.size, found_in(bytes(reading.head), wanted.type_told).type)


@dataclass(slots=True)
class _Reading:
    """What is seen of bytes while they pass by."""

    largest: int
    told: Sequence[bytes]
    """What Meta tells as its hash, perhaps twice; one that is right will do."""
    size: int = 0
    head: bytearray = field(default_factory=bytearray)
    _digest: Any = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()

    async def checked(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The same bytes; raises `NotFetched` before the end of those that are not right, so that none are kept."""
        async for chunk in chunks:
            self.size += len(chunk)
            if self.size > self.largest:
                raise NotFetched(Reason.TOO_LARGE)
            self._digest.update(chunk)
            if len(self.head) < HEAD_BYTES:
                self.head += chunk[: HEAD_BYTES - len(self.head)]
            yield chunk
        if self.told and self.sha256 not in self.told:
            raise NotFetched(Reason.HASH_DIFFERS)


def _size(told: Any) -> int | None:
    """`file_size`, which is text in Meta's OpenAPI and a number in its examples."""
    if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) < 20:
        return int(told)
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def _reason(error: GraphError) -> Reason:
    match error:
        case RateLimited():
            return Reason.RATE_LIMITED
        case TokenExpired() | PermissionLost() | AccountBlocked() | AppRefused():
            return Reason.NO_ACCESS
        case AccountNotFound():
            return Reason.ID_ENDED
        case _:
            return Reason.META_UNAVAILABLE
