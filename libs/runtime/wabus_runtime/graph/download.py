"""Bytes from addresses that Graph tells, with the caller's token: as a stream, and no longer than it moves.

Whoever calls this has checked that the address is Meta's, and checks the same of each to which Meta leads on.
Source: Meta's "Media" (Cloud API reference), Download Media.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from pydantic import SecretStr
from wabus_whatsapp.graph_errors import GraphUnavailable, RateLimited, TokenExpired
from yarl import URL

CONNECT_TIMEOUT = 5.0  # seconds
SILENT_MOST = 30.0  # seconds without a byte
BUFFER_BYTES = 128 * 1024  # that wait to be read, of one download; it may hold twice as many
REDIRECTS = 3


class AddressEnded(Exception):
    """There is nothing at the address any more: Graph knows another one. `status` is that of the answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Download:
    """What is being downloaded."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def size(self) -> int | None:
        """Bytes, as far as the answer says."""
        return self._response.content_length

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes. Raises `GraphUnavailable` where they end too early."""
        try:
            # Whatever has come meanwhile: whoever is slow gets larger pieces, and so fewer.
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise GraphUnavailable from None


def download_session(most: int) -> aiohttp.ClientSession:
    """A client for so many downloads at once. It keeps no cookies and unpacks nothing."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=SILENT_MOST),
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=most, ttl_dns_cache=60),
        headers={"User-Agent": "wabus", "Accept-Encoding": "identity"},
        auto_decompress=False,
        read_bufsize=BUFFER_BYTES,
    )


@asynccontextmanager
async def downloading(
    session: aiohttp.ClientSession, url: str, token: SecretStr, is_allowed: Callable[[str], bool]
) -> AsyncGenerator[Download]:
    """The answer to a download, if it is one.

    Raises `AddressEnded`, and of `GraphError` what the answer means: `TokenExpired`, `RateLimited`, `GraphUnavailable`.
    """
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
    for _ in range(REDIRECTS + 1):
        if not is_allowed(url):
            raise AddressEnded(0)
        try:
            response = await session.get(URL(url, encoded=True), headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            # `from None`: aiohttp's exceptions carry the request, and with it the Authorization header.
            raise GraphUnavailable from None
        async with response:
            if response.status in (301, 302, 303, 307, 308):
                url = _leads_to(response)
                continue
            _check(response)
            yield Download(response)
            return
    raise AddressEnded(0)


def _leads_to(response: aiohttp.ClientResponse) -> str:
    try:
        return str(response.url.join(URL(response.headers.get("Location", ""), encoded=True)))
    except ValueError:
        return ""


def _check(response: aiohttp.ClientResponse) -> None:
    match response.status:
        case 200:
            return
        case 401 | 403:
            raise TokenExpired
        case 429:
            raise RateLimited
        case int(status) if status >= 500:
            raise GraphUnavailable
        case status:
            raise AddressEnded(status)
