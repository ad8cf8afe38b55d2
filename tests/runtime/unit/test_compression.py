"""Which answers are compressed, for whom, and that whoever asks again with what they were given is understood."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from typing import cast

import orjson
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from wabus_runtime.http.answers import json_response, problems
from wabus_runtime.http.formats.compression import SMALLEST, accepts_gzip, compressed, uncompressed

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

LIST = {"templates": [{"name": f"template_{number}", "status": "APPROVED"} for number in range(2_000)]}
SMALL = {"status": "ok"}


async def large(_request: web.Request) -> web.Response:
    return json_response(LIST)


async def small(_request: web.Request) -> web.Response:
    return json_response(SMALL)


async def secret(_request: web.Request) -> web.Response:
    return uncompressed(json_response(LIST))


async def tagged(request: web.Request) -> web.Response:
    response = json_response(LIST)
    tag = hashlib.sha256(cast(bytes, response.body)).hexdigest()[:16]
    if any(known.value == tag for known in request.if_none_match or ()):
        return web.Response(status=304, headers={"ETag": f'"{tag}"'})
    response.headers["ETag"] = f'"{tag}"'
    return response


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: " + orjson.dumps(LIST) + b"\n\n")
    return response


async def page(_request: web.Request) -> web.Response:
    return web.Response(text="<p>" * 2_000, content_type="text/html")


@pytest.fixture
async def client(serve: Serve) -> Client:
    app = web.Application(middlewares=[compressed, problems])
    for handler in (large, small, secret, tagged, stream, page):
        app.router.add_get(f"/{handler.__name__}", handler)
    return await serve(app)


async def get(client: Client, path: str, **given: str) -> tuple[ClientResponse, bytes]:
    """The answer and its bytes as they were sent."""
    headers = {name.replace("_", "-"): value for name, value in given.items()}
    answer = await client.get(path, headers=headers, auto_decompress=False)
    return answer, await answer.read()


async def test_a_long_list_is_sent_as_a_tenth_of_itself(client: Client) -> None:
    plain, whole = await get(client, "/large", accept_encoding="identity")
    packed, body = await get(client, "/large", accept_encoding="gzip, br")

    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert packed.headers["Content-Length"] == str(len(body))
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(body) == whole == orjson.dumps(LIST)
    assert len(body) * 10 < len(whole)


@pytest.mark.parametrize("path", ["/small", "/secret", "/stream", "/page"])
async def test_what_is_small_secret_a_stream_or_a_page_goes_as_it_is(client: Client, path: str) -> None:
    answer, body = await get(client, path, accept_encoding="gzip")

    assert "Content-Encoding" not in answer.headers
    assert body[:1] in (b"{", b"d", b"<")


async def test_whoever_has_the_compressed_answer_is_told_that_it_is_still_the_same(client: Client) -> None:
    packed, _ = await get(client, "/tagged", accept_encoding="gzip")
    plain, _ = await get(client, "/tagged", accept_encoding="identity")
    tag, strong = packed.headers["ETag"], plain.headers["ETag"]
    assert tag == f"W/{strong}"

    again, body = await get(client, "/tagged", accept_encoding="gzip", if_none_match=tag)
    assert (again.status, again.headers["ETag"], body) == (304, tag, b"")
    again, _ = await get(client, "/tagged", accept_encoding="identity", if_none_match=strong)
    assert (again.status, again.headers["ETag"]) == (304, strong)


async def test_a_short_error_goes_as_it_is(client: Client) -> None:
    answer, body = await get(client, "/nowhere", accept_encoding="gzip")

    assert (answer.status, answer.headers.get("Content-Encoding")) == (404, None)
    assert len(body) < SMALLEST


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        (["gzip"], True),
        (["br", "GZIP;q=0.1"], True),
        (["*"], True),
        (["deflate, gzip; q=1.0, *;q=0.5"], True),
        (["gzip;q=0"], False),
        (["gzip;q=0.000, *"], False),
        (["*;q=0"], False),
        (["identity"], False),
        (["br"], False),
        (["gzip;q=much"], False),
        ([""], False),
        ([], False),
    ],
)
def test_only_who_says_so_gets_gzip(given: list[str], accepted: bool) -> None:
    assert accepts_gzip(given) is accepted
