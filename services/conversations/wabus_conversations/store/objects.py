"""Objects through obstore: written as a stream with little memory, read in parts, deleted. Nothing half is ever there.

Sources: obstore's documentation, "Put", "Get" and "Configuration": what a store needs besides its address (keys,
region, endpoint) it takes from the environment, under the names that each cloud's own tools use.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes as a part, but for the last: "Amazon S3 multipart upload limits"."""
SMALL_BYTES = 512 * 1024
"""What is smaller is written by one request."""
READ_BYTES = 256 * 1024  # at once
FOLDER_MODE = 0o700  # what people send is nobody else's on the machine


class StoreUnavailable(Exception):
    """The store did not do what it was asked for. The message names the kind of failure and no address or key."""


class ObjectMissing(Exception):
    """There is nothing under the key."""


class MediaStore:
    """One store, by the address in `MEDIA_STORE_URL`: `file:`, `s3:`, `gs:` or `az:`. It is opened when it is used."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store: ObjectStore | None = None
        parts = urlsplit(url)
        self._folder = Path(unquote(parts.path)).resolve() if parts.scheme == "file" else None

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Write an object; it is there, and durable, when this returns, and not at all if it raises.

        What `chunks` raises is raised. Raises `StoreUnavailable`.
        """
        first = await _beginning(chunks)
        try:
            store = await self._opened()
            if len(first) < SMALL_BYTES:
                await obstore.put_async(store, key, first, use_multipart=False)
            else:
                part = PART_BYTES if self._folder is None else SMALL_BYTES
                whole = _in_parts(first, chunks, part)
                await obstore.put_async(store, key, whole, use_multipart=True, chunk_size=part, max_concurrency=1)
            if self._folder is not None:
                await asyncio.to_thread(_make_durable, self._folder / key)
        except (BaseError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from None

    async def read(self, key: str, start: int, end: int) -> AsyncGenerator[bytes]:
        """The bytes from one to before another. Raises `ObjectMissing`, `StoreUnavailable`."""
        try:
            found = await obstore.get_async(await self._opened(), key, options={"range": (start, end)})
            async for chunk in found.stream(min_chunk_size=READ_BYTES):
                yield bytes(chunk)
        except FileNotFoundError:
            raise ObjectMissing from None
        except (BaseError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from None

    async def delete(self, key: str) -> None:
        """Delete an object, if it is there. Raises `StoreUnavailable`."""
        try:
            with suppress(FileNotFoundError):
                await obstore.delete_async(await self._opened(), key)
        except (BaseError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from None

    async def _opened(self) -> ObjectStore:
        if self._store is None:
            self._store = await asyncio.to_thread(_open, self._url, self._folder)
        return self._store


def _open(url: str, folder: Path | None) -> ObjectStore:
    if folder is None:
        return from_url(url)
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    return LocalStore(folder)


async def _beginning(chunks: AsyncIterator[bytes]) -> bytes:
    """At least so much that it is not small, or all of it."""
    found = bytearray()
    while len(found) < SMALL_BYTES and (chunk := await anext(chunks, None)) is not None:
        found += chunk
    return bytes(found)


async def _in_parts(first: bytes, rest: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in larger pieces: for each one a thread of obstore's waits until the event loop has made it."""
    part = bytearray(first)
    async for chunk in rest:
        if len(part) >= size:
            yield bytes(part)
            part.clear()
        part += chunk
    yield bytes(part)


def _make_durable(path: Path) -> None:
    """A local file survives a loss of power only once it was flushed, and its folder too. fsync(2)."""
    for each in (path, path.parent, path.parent.parent):
        number = os.open(each, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def is_supported(url: str) -> bool:
    """Whether it is an address of a store that this can use."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return bool(parts.path) and not parts.netloc
    return parts.scheme in ("s3", "gs", "az", "azure") and bool(parts.netloc)
