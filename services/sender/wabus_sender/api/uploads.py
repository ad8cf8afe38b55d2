"""POST /numbers/{phone_number_id}/media: a file for Meta, of which no more is held here than a part at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import asyncpg
from aiohttp import BodyPartReader, MultipartReader, web
from wabus_runtime.http.answers import Problem, checked, json_response
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.connections import take_large_body
from wabus_runtime.http.headers import MAX_WAIT, preferred_wait, waited_for
from wabus_runtime.postgres.announcements import Announcements
from wabus_whatsapp.sending.uploads import FILE_TYPES, LARGEST, FileType, file_type

from wabus_sender.api import views
from wabus_sender.api.models import NumberPath, UploadPath
from wabus_sender.api.numbers import number_not_found
from wabus_sender.tables import facts, uploads
from wabus_sender.tables.uploads import Place

PART_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
FORM_MOST = 64 * 1024  # bytes of a form that are not the file
FIELDS_MOST = 10  # of a form
SILENT_MOST = 30.0  # seconds without a byte
ARRIVAL_TIMEOUT = 900.0  # seconds for a whole file
OPEN_MOST = 8  # files of an organisation that arrive, or wait for Meta
AT_ONCE = 32  # files that arrive at one process
RETRY_AFTER = 10  # seconds

T = TypeVar("T")


class _Incoming(NamedTuple):
    """A file that begins to arrive."""

    name: str
    type: FileType
    chunks: AsyncIterator[bytes]


@dataclass
class UploadsApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    announcements: Announcements
    _arriving: int = 0

    async def upload(self, request: web.Request) -> web.Response:
        """POST /numbers/{phone_number_id}/media"""
        caller = await authorise(request)
        phone_number_id = checked(NumberPath, dict(request.match_info)).phone_number_id
        number = await facts.number(self.pool(), phone_number_id)
        if number is None or number.org_id != caller.org_id:
            raise number_not_found()
        place = Place(caller.org_id, number.waba_id, phone_number_id)
        if self._arriving >= AT_ONCE:
            raise _too_many("Many files are arriving just now.")
        self._arriving += 1
        try:
            upload_id = await self._received(request, place)
        finally:
            self._arriving -= 1
        wait = preferred_wait(request)
        row = await self._come_to_an_end(place, upload_id, MAX_WAIT if wait is None else wait)
        if row["state"] == "refused":
            refusal = views.refused(row["refusal"], "graph", row["error_code"])
            raise Problem(
                422, refusal["code"], "WhatsApp has not taken the file", refusal["message"], remedy=refusal["remedy"],
                error_code=row["error_code"],
            )  # fmt: skip
        headers = {"Location": f"/numbers/{phone_number_id}/media/{upload_id}", **waited_for(wait)}
        return json_response(views.upload(row), 201 if row["state"] == "stored" else 202, headers)

    async def one_upload(self, request: web.Request) -> web.Response:
        """GET /numbers/{phone_number_id}/media/{upload_id}"""
        caller = await authorise(request)
        path = checked(UploadPath, dict(request.match_info))
        row = await uploads.one(self.pool(), caller.org_id, path.phone_number_id, path.upload_id)
        if row is None or row["state"] == "arriving":
            raise Problem(404, "upload_not_found", "No such file", "There is no file of yours with this id.")
        return json_response(views.upload(row))

    async def _received(self, request: web.Request, place: Place) -> str:
        """The id of a file that is whole in the tables. Raises a problem, and leaves nothing then."""
        take_large_body(request, LARGEST + FORM_MOST)
        upload_id = str(uuid4())
        try:
            async with asyncio.timeout(ARRIVAL_TIMEOUT):
                incoming = await _incoming(request)
                now = datetime.now(UTC)
                if not await uploads.begin(self.pool(), upload_id, place, incoming.type.told_as, now, OPEN_MOST):
                    raise _too_many(f"{OPEN_MOST} files of your organisation are on their way already.")
                try:
                    await self._write(upload_id, incoming)
                except BaseException:
                    await asyncio.shield(uploads.drop(self.pool(), upload_id))
                    raise
        except TimeoutError:
            raise Problem(
                408, "request_timeout", "Request timeout", "The file did not arrive in time.",
                headers={"Connection": "close"},
            ) from None  # fmt: skip
        return upload_id

    async def _write(self, upload_id: str, incoming: _Incoming) -> None:
        size = number = 0
        async for part in _parts(incoming):
            try:
                await uploads.add_part(self.pool(), upload_id, number, part)
            except asyncpg.ForeignKeyViolationError:
                raise number_not_found() from None  # the organisation was forgotten meanwhile
            size, number = size + len(part), number + 1
        if not size:
            raise Problem(422, "empty_file", "An empty file", "The file has no bytes.")
        await uploads.whole(self.pool(), upload_id, size, number, datetime.now(UTC))

    async def _come_to_an_end(self, place: Place, upload_id: str, wait: float) -> asyncpg.Record:
        """The row once Meta has the file, or does not want it, or after so many seconds."""
        found: list[asyncpg.Record] = []

        async def ended() -> bool:
            row = await uploads.one(self.pool(), place.org_id, place.phone_number_id, upload_id)
            if row is None:
                raise number_not_found()  # forgotten meanwhile
            found[:] = [row]
            return row["state"] in ("stored", "refused")

        if not await self.announcements.until(ended, wait, subject=upload_id):
            await ended()
        return found[0]


async def _incoming(request: web.Request) -> _Incoming:
    """The file of a request: the body, or a part of a form named `file`. Raises a problem before any of it is read."""
    content_type = request.headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        name, known = _known(content_type)
        if (request.content_length or 0) > known.most:
            raise _too_large(known)
        return _Incoming(name, known, _chunks(partial(request.content.read, CHUNK_BYTES)))
    told = ""
    try:
        reader = await request.multipart()
        for _ in range(FIELDS_MOST):
            part = await _soon(reader.next())
            if not isinstance(part, BodyPartReader):
                break
            if part.name == "file":
                name, known = _known(_type_of(part, told))
                return _Incoming(name, known, _chunks(partial(part.read_chunk, CHUNK_BYTES), reader))
            told = (await _field(part)) if part.name == "type" else told
            await _soon(part.release())
    except (ValueError, AssertionError, RuntimeError, web.RequestPayloadError):
        raise _malformed() from None
    raise Problem(422, "no_file", "No file", "The form has no part named `file` among its first ones.")


def _type_of(part: BodyPartReader, told: str) -> str:
    """What the part of a form says that it is, or, where that is nothing, what another part has said."""
    own = part.headers.get("Content-Type", "")
    return told if told and own.partition(";")[0].strip().lower() in ("", "application/octet-stream") else own


async def _field(part: BodyPartReader) -> str:
    return (await _soon(part.read_chunk(1024))).decode(errors="replace")


async def _soon(reading: Awaitable[T]) -> T:
    async with asyncio.timeout(SILENT_MOST):
        return await reading


async def _chunks(read: Callable[[], Awaitable[bytes]], form: MultipartReader | None = None) -> AsyncIterator[bytes]:
    try:
        while chunk := await _soon(read()):
            yield chunk
        if form:
            # A form that was cut off has no end; other parts behind the file nobody wants.
            while (part := await _soon(form.next())) is not None:
                await _soon(part.release())
    except (ValueError, AssertionError, RuntimeError, web.RequestPayloadError):
        raise _malformed() from None


async def _parts(incoming: _Incoming) -> AsyncIterator[bytes]:
    """The same bytes in parts of one size. Raises a problem once they are more than such a file may have."""
    held, size = bytearray(), 0
    async for chunk in incoming.chunks:
        size += len(chunk)
        if size > incoming.type.most:
            raise _too_large(incoming.type)
        held += chunk
        while len(held) >= PART_BYTES:
            yield bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
    if held:
        yield bytes(held)


def _known(content_type: str) -> tuple[str, FileType]:
    known = file_type(content_type)
    if known is None:
        raise Problem(
            415, "file_type_unknown", "Unsupported media type",
            f"WhatsApp takes files of these types: {', '.join(FILE_TYPES)}.", headers={"Connection": "close"},
        )  # fmt: skip
    return known


def _too_large(known: FileType) -> Problem:
    most = f"{known.most // (1024 * 1024)} MB" if known.most >= 1024 * 1024 else f"{known.most // 1024} kB"
    return Problem(
        413, "file_too_large", "Payload too large", f"WhatsApp takes at most {most} of this type.",
        headers={"Connection": "close"}, most=known.most,
    )  # fmt: skip


def _malformed() -> Problem:
    return Problem(400, "malformed_body", "Malformed body", "The form can't be read.", headers={"Connection": "close"})


def _too_many(detail: str) -> Problem:
    headers: dict[str, Any] = {"Retry-After": str(RETRY_AFTER), "Connection": "close"}
    return Problem(429, "uploads_full", "Too many files", detail, headers=headers)
