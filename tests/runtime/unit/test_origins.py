"""Pages of other origins: those that are allowed may ask, and no others."""

import pytest
from aiohttp import ClientSession, web
from wabus_runtime.feed.origins import allow_origins, origin_of, refuse_other_origins
from wabus_runtime.service.process import build_app, serving

INBOX = "https://inbox.example.com"


def application(*origins: str) -> web.Application:
    app = build_app([])
    allow_origins(app, origins, "https://own.example.com")

    async def answer(request: web.Request) -> web.StreamResponse:
        refuse_other_origins(request)
        return web.Response(text="ok")

    app.router.add_get("/thing", answer)
    return app


async def test_an_allowed_page_is_told_what_it_may_send_and_reads_the_answer() -> None:
    asking = {
        "Origin": INBOX,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    async with serving(application(INBOX), "127.0.0.1", 0) as (port,), ClientSession() as client:
        url = f"http://127.0.0.1:{port}/thing"
        async with client.options(url, headers=asking) as preflight:
            assert preflight.status == 204
            assert preflight.headers["Access-Control-Allow-Origin"] == INBOX
            assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        async with client.get(url, headers={"Origin": INBOX}) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, INBOX)
            assert answer.headers["Vary"] == "Origin"
            assert "Access-Control-Allow-Credentials" not in answer.headers
        async with client.get(f"{url}-else", headers={"Origin": INBOX}) as missing:
            assert (missing.status, missing.headers["Access-Control-Allow-Origin"]) == (404, INBOX)


@pytest.mark.parametrize("origins", [(), (INBOX,)])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{INBOX}.evil.example", "http://inbox.example.com"]
)
async def test_others_are_told_nothing_and_open_nothing(origins: tuple[str, ...], origin: str) -> None:
    asking = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    async with serving(application(*origins), "127.0.0.1", 0) as (port,), ClientSession() as client:
        url = f"http://127.0.0.1:{port}/thing"
        async with client.options(url, headers=asking) as preflight:
            assert preflight.status == 405
            assert "Access-Control-Allow-Origin" not in preflight.headers
        async with client.get(url, headers={"Origin": origin}) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_programs_and_our_own_pages_need_no_leave() -> None:
    async with serving(application(), "127.0.0.1", 0) as (port,), ClientSession() as client:
        for headers in ({}, {"Origin": "https://own.example.com"}):
            async with client.get(f"http://127.0.0.1:{port}/thing", headers=headers) as answer:
                assert (answer.status, "Vary" in answer.headers) == (200, False)


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://Own.example.com:8443/ui/status?x") == "https://own.example.com:8443"
