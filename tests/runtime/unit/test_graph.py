"""Paging through Graph and sorting its errors, against a real HTTP server that answers as it is told."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pydantic import SecretStr
from wabus_gateway.worker.connect import phone_numbers
from wabus_gateway.worker.oauth import granted_wabas
from wabus_health_projector.health.check import Answers, answered
from wabus_health_projector.health.state import WabaHealth
from wabus_runtime.graph.client import MAX_ANSWER_BYTES, Graph, GraphSettings
from wabus_runtime.graph.limits import COOL_DOWN, OPEN_AFTER, OPEN_AFTER_ALONE, Breaker, Pace, pause_after
from wabus_runtime.graph.pages import next_cursor
from wabus_template_sync.templates.listing import Listed, Listing
from wabus_template_sync.worker.pages import template_pages
from wabus_whatsapp.graph_errors import (
    AccountNotFound,
    AppNotSubscribed,
    AppRefused,
    BadRequest,
    FieldUnknown,
    GraphError,
    GraphUnavailable,
    MalformedAnswer,
    MetaOutage,
    NotAnAccount,
    PermissionLost,
    RateLimited,
    TokenExpired,
    TokenOfAnotherApp,
    TooMuchData,
    Usage,
    classify,
    usage,
)
from waiting import Eventually

TOKEN = "EAAG-a-token-that-nobody-may-see"


def error(code: int, subcode: int | None = None, message: str = "no", **more: Any) -> bytes:
    return orjson.dumps({"error": {"message": message, "code": code, "error_subcode": subcode, **more}})


@pytest.mark.parametrize(
    ("status", "code", "subcode", "expected"),
    [
        (401, 190, 463, TokenExpired),
        (400, 190, None, TokenExpired),
        (400, 102, None, TokenExpired),
        (403, 10, None, PermissionLost),
        (400, 200, None, PermissionLost),
        (400, 299, None, PermissionLost),
        (400, 100, 33, AccountNotFound),
        (400, 100, None, BadRequest),
        (400, 4, None, RateLimited),
        (400, 80007, None, RateLimited),
        (400, 80008, None, RateLimited),
        (429, 130429, None, RateLimited),
        (500, 1, None, GraphUnavailable),
        (503, 2, None, GraphUnavailable),
        (400, 2, None, GraphUnavailable),
        (500, 987654, None, GraphUnavailable),
        (400, 987654, None, BadRequest),
    ],
)
def test_an_error_is_known_by_its_code(status: int, code: int, subcode: int | None, expected: type[GraphError]) -> None:
    found = classify(status, error(code, subcode), {})

    assert type(found) is expected
    assert (found.graph_code, found.graph_subcode) == (code, subcode)
    assert found.message.endswith(".")


NO_FIELD = "(#100) Tried accessing nonexisting field"


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (
            100,
            "(#100) Before override the current callback uri, your app must be subscribed to receive messages for "
            "WhatsApp Business Account",
            AppNotSubscribed,
        ),
        (100, "Invalid appsecret_proof provided in the API argument", AppRefused),
        (100, "API calls from the server require an appsecret_proof argument", AppRefused),
        (101, "Error validating application. Cannot get application info due to a system error.", AppRefused),
        (1, "Error validating client secret.", AppRefused),
        (1, "An unknown error has occurred.", GraphUnavailable),
        (100, "(#100) Param limit must be a positive integer", BadRequest),
        (100, f"{NO_FIELD} (phone_numbers) on node type (Business)", NotAnAccount),
        (100, f"{NO_FIELD} (message_templates) on node type (Page)", NotAnAccount),
        (100, f"{NO_FIELD} (phone_numbers) on node type (WhatsAppBusinessAccount)", FieldUnknown),
        (100, f"{NO_FIELD} (username) on node type (WhatsAppBusinessPhoneNumber)", FieldUnknown),
        (100, "(#100) The App_id in the input_token did not match the Viewing App", TokenOfAnotherApp),
        (
            100,
            "Unsupported get request. Object with ID '1' does not exist, cannot be loaded due to missing permissions, "
            "or does not support this operation",
            AccountNotFound,
        ),
    ],
)
def test_an_error_whose_code_says_too_little_is_known_by_its_message(
    code: int, message: str, expected: type[GraphError]
) -> None:
    assert type(classify(400, error(code, message=message), {})) is expected


@pytest.mark.parametrize(
    ("status", "code", "subcode"),
    [(400, 190, None), (401, 190, 463), (403, 10, None), (403, 200, None), (401, 7, None)],
)
def test_what_graph_says_of_the_apps_own_token_is_never_said_of_a_customers(
    status: int, code: int, subcode: int | None
) -> None:
    found = classify(status, error(code, subcode), {}, of_app=True)

    assert type(found) is AppRefused
    assert (found.graph_code, found.graph_subcode) == (code, subcode)


def test_an_outage_and_a_rate_limit_are_themselves_for_the_apps_own_token_too() -> None:
    assert type(classify(500, error(2), {}, of_app=True)) is GraphUnavailable
    assert type(classify(400, error(4), {}, of_app=True)) is RateLimited


def test_an_answer_that_is_no_json_is_malformed_or_an_outage() -> None:
    assert type(classify(502, b"<html>Bad Gateway</html>", {})) is GraphUnavailable
    assert type(classify(400, b"<html>", {})) is MalformedAnswer
    assert type(classify(429, b"", {})) is RateLimited


def test_what_meta_calls_transient_is_tried_again_whatever_its_code() -> None:
    assert type(classify(400, error(987654, is_transient=True), {})) is GraphUnavailable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"X-Business-Use-Case-Usage": '{"1":[{"type":"whatsapp","estimated_time_to_regain_access":3}]}'}, 180),
        ({"Retry-After": "soon", "X-App-Usage": "{"}, 60),
        ({}, 60),
    ],
)
def test_a_rate_limit_says_how_long_to_wait(headers: dict[str, str], seconds: float) -> None:
    found = classify(400, error(80008), headers)

    assert isinstance(found, RateLimited)
    assert found.retry_after == seconds


def test_usage_is_the_highest_of_all_that_is_reported() -> None:
    headers = {
        "X-App-Usage": '{"call_count":28,"total_time":25,"total_cputime":25}',
        "X-Business-Use-Case-Usage": '{"7":[{"call_count":10,"total_cputime":91,"estimated_time_to_regain_access":0}]}',
    }

    assert usage(headers) == Usage(91, 0)


def test_calls_slow_down_before_the_limit_and_not_far_from_it() -> None:
    assert pause_after(Usage(50)) == 0
    assert 0 < pause_after(Usage(85)) < pause_after(Usage(95)) <= pause_after(Usage(250)) == 10


@given(st.integers(), st.binary(), st.dictionaries(st.sampled_from(["Retry-After", "X-App-Usage"]), st.text()))
def test_whatever_graph_answers_is_some_error(status: int, body: bytes, headers: dict[str, str]) -> None:
    assert isinstance(classify(status, body, headers), GraphError)


def test_a_next_page_on_another_host_is_not_followed() -> None:
    page = {"paging": {"next": "https://evil.example/v23.0/1/message_templates?after=X"}}

    with pytest.raises(MalformedAnswer):
        next_cursor(page, "https://graph.facebook.com", full=True)


def test_a_next_page_without_cursors_gives_its_own() -> None:
    page = {"paging": {"next": "https://graph.facebook.com/v23.0/1/message_templates?limit=2&after=X%3D"}}

    assert next_cursor(page, "https://graph.facebook.com", full=True) == "X="


def test_a_cursor_without_a_next_page_is_the_end_unless_the_page_was_full() -> None:
    page = {"paging": {"cursors": {"before": "A", "after": "Z"}}}

    assert next_cursor(page, "https://graph.facebook.com", full=False) is None
    assert next_cursor(page, "https://graph.facebook.com", full=True) == "Z"


Answer = Callable[[web.Request], web.StreamResponse]


class Scripted:
    """A server with a list of answers, which it gives one after the other; the last again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[web.Request] = []
        self.settings = GraphSettings.model_construct()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)

    async def listing(self, **settings: Any) -> list[Any]:
        given = self.settings.model_copy(update=settings)
        async with Graph(given) as client:
            pages = template_pages(client, given.meta_graph_url, "1029", SecretStr(TOKEN))
            return [template async for page in pages for template in page.templates]


@pytest.fixture
async def graph() -> AsyncIterator[Scripted]:
    graph = Scripted()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", graph.answer)
    async with TestServer(app) as server:
        graph.settings = GraphSettings(
            meta_app_id="1",
            meta_app_secrets=(SecretStr("app-secret"),),
            meta_verify_token=SecretStr("v"),
            meta_graph_url=str(server.make_url("")).rstrip("/"),
            public_url="http://127.0.0.1",
        )
        yield graph


def page(*names: str, after: str | None = None) -> Answer:
    def answer(request: web.Request) -> web.Response:
        link = f"{request.url.with_query(after=after)}" if after else None
        paging = {"cursors": {"before": "b", "after": after or "end"}, **({"next": link} if link else {})}
        return web.json_response({"data": [{"id": name, "name": name} for name in names], "paging": paging})

    return answer


def refusal(status: int, body: bytes, **headers: str) -> Answer:
    return lambda _: web.Response(status=status, body=body, headers=headers)


async def test_every_page_is_fetched_with_the_token_in_the_header_alone(graph: Scripted) -> None:
    graph.answers = [page("a", "b", after="c1"), page("c", after="c2"), page("d")]

    listed = await graph.listing()

    assert [template["id"] for template in listed] == ["a", "b", "c", "d"]
    assert [request.query.get("after") for request in graph.requests] == [None, "c1", "c2"]
    proof = hmac.new(b"app-secret", TOKEN.encode(), hashlib.sha256).hexdigest()
    for request in graph.requests:
        assert request.path == "/v23.0/1029/message_templates"
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.query["appsecret_proof"] == proof
        assert TOKEN not in str(request.url)


async def test_the_next_page_is_under_way_while_one_is_worked_on_and_given_up_with_it(graph: Scripted) -> None:
    asked = asyncio.Event()

    def second(request: web.Request) -> web.StreamResponse:
        asked.set()
        return page("b", after="c2")(request)

    graph.answers = [page("a", after="c1"), second]
    async with Graph(graph.settings) as client:
        pages = template_pages(client, graph.settings.meta_graph_url, "1029", SecretStr(TOKEN))
        async with asyncio.timeout(10), aclosing(pages):
            first = await anext(pages)
            await asked.wait()

    assert ([one["id"] for one in first.templates], first.more) == (["a"], True)
    assert [request.query.get("after") for request in graph.requests] == [None, "c1"]


@pytest.mark.parametrize(("said", "total"), [({"total_count": 412}, 412), ({"total_count": "many"}, None), (7, None)])
async def test_graph_is_asked_once_how_many_there_are(graph: Scripted, said: Any, total: int | None) -> None:
    def first(request: web.Request) -> web.Response:
        link = str(request.url.with_query(after="c1"))
        return web.json_response({"data": [{"id": "a", "name": "a"}], "paging": {"next": link}, "summary": said})

    graph.answers = [first, page("b")]
    async with Graph(graph.settings) as client:
        pages = template_pages(client, graph.settings.meta_graph_url, "1029", SecretStr(TOKEN))
        found = [one.total async for one in pages]

    assert found == [total, total]
    assert [request.query.get("summary") for request in graph.requests] == ["total_count", None]


async def test_an_account_after_the_first_25_is_missing_from_the_choice(graph: Scripted) -> None:
    def of(first: int, last: int, after: str | None = None) -> Answer:
        return page(*(str(number) for number in range(first, last)), after=after)

    none = page()
    graph.answers = [of(0, 1, "b1"), of(100, 125, "w1"), of(125, 150), none, of(1, 2), none, of(150, 151)]
    async with Graph(graph.settings) as client:
        found = await granted_wabas(client, graph.settings.meta_graph_url, SecretStr(TOKEN), ())

    assert list(found) == [str(number) for number in range(100, 151)]
    assert [(request.path.removeprefix("/v23.0/"), request.query.get("after")) for request in graph.requests] == [
        ("me/businesses", None),
        ("0/owned_whatsapp_business_accounts", None),
        ("0/owned_whatsapp_business_accounts", "w1"),
        ("0/client_whatsapp_business_accounts", None),
        ("me/businesses", "b1"),
        ("1/owned_whatsapp_business_accounts", None),
        ("1/client_whatsapp_business_accounts", None),
    ]


async def test_every_account_that_a_token_names_is_in_the_choice(graph: Scripted) -> None:
    named = tuple(str(number) for number in range(60))
    graph.answers = [lambda request: web.json_response({"name": f"No. {request.path.rpartition('/')[2]}"})]
    async with Graph(graph.settings) as client:
        found = await granted_wabas(client, graph.settings.meta_graph_url, SecretStr(TOKEN), named)

    assert found == {waba_id: f"No. {waba_id}" for waba_id in named}


async def test_businesses_whose_pages_go_round_in_circles_end_the_listing(graph: Scripted) -> None:
    graph.answers = [page(after="b1")]
    async with Graph(graph.settings) as client:
        with pytest.raises(MalformedAnswer):
            await granted_wabas(client, graph.settings.meta_graph_url, SecretStr(TOKEN), ())


async def test_a_page_that_is_too_much_for_graph_is_asked_for_in_smaller_ones(graph: Scripted) -> None:
    too_much = refusal(500, error(1, message="Please reduce the amount of data you're asking for, then retry"))
    graph.answers = [page("a", after="c1"), too_much, too_much, page("b")]

    listed = await graph.listing()

    assert [template["id"] for template in listed] == ["a", "b"]
    assert [request.query["limit"] for request in graph.requests] == ["100", "100", "25", "6"]
    assert [request.query.get("after") for request in graph.requests] == [None, "c1", "c1", "c1"]


async def test_a_hiccup_is_tried_again_and_an_expired_token_is_not(graph: Scripted) -> None:
    graph.answers = [refusal(503, b"down"), page("a", after="c1"), refusal(401, error(190))]

    with pytest.raises(TokenExpired):
        await graph.listing()

    assert len(graph.requests) == 3


async def test_the_operator_hears_at_once_of_an_app_that_graph_refuses(graph: Scripted) -> None:
    graph.answers = [refusal(400, error(190, message="Invalid OAuth access token signature."))]

    def counted() -> float:
        return REGISTRY.get_sample_value("wabus_graph_calls_total", {"outcome": "app_refused"}) or 0.0

    before = counted()
    with structlog.testing.capture_logs() as logs:
        async with Graph(graph.settings) as client:
            with pytest.raises(AppRefused):
                await client.debug_token(SecretStr(TOKEN))

    [line] = [each for each in logs if each["action"] == "app_refused"]
    assert (line["log_level"], line["graph_code"]) == ("error", 190)
    assert counted() == before + 1
    assert [request.headers["Authorization"] for request in graph.requests] == ["Bearer 1|app-secret"]
    assert TOKEN not in str(logs)
    assert "app-secret" not in str(logs)


async def test_a_secret_that_was_reset_is_not_taken_for_an_outage_of_meta(graph: Scripted) -> None:
    graph.answers = [refusal(400, error(1, message="Error validating client secret."))]
    async with Graph(graph.settings) as client:
        for _ in range(OPEN_AFTER_ALONE + 1):
            with pytest.raises(AppRefused):
                await client.call("GET", "oauth/access_token", None)

    assert len(graph.requests) == OPEN_AFTER_ALONE + 1


async def test_a_short_rate_limit_is_waited_for(graph: Scripted) -> None:
    limited = refusal(429, error(80008), **{"Retry-After": "0"})
    graph.answers = [limited, limited, page("a")]

    assert len(await graph.listing()) == 1


async def test_a_rate_limit_longer_than_the_patience_fails_with_its_time(graph: Scripted) -> None:
    graph.answers = [refusal(429, error(80008), **{"Retry-After": "3600"})]

    with pytest.raises(RateLimited) as caught:
        await graph.listing(graph_rate_limit_wait=1)

    assert caught.value.retry_after == 3600
    assert len(graph.requests) == 1


async def test_a_redirect_does_not_get_the_token(graph: Scripted) -> None:
    graph.answers = [refusal(302, b"", Location="http://127.0.0.1:9/elsewhere")]

    with pytest.raises(MalformedAnswer):
        await graph.listing()


async def test_cursors_that_go_round_in_circles_end_the_listing_with_an_error(graph: Scripted) -> None:
    graph.answers = [page("a", after="c1"), page("b", after="c2"), page("a", after="c1")]

    with pytest.raises(MalformedAnswer):
        await graph.listing()


async def test_a_page_without_data_is_malformed(graph: Scripted) -> None:
    graph.answers = [refusal(200, b'{"data": 5}')]

    with pytest.raises(MalformedAnswer):
        await graph.listing()


HALF = r"Sale \ud83d"


async def test_one_template_with_half_an_emoji_ends_every_sync_of_its_account(graph: Scripted) -> None:
    body = b'{"data": [{"id": "1", "name": "a"}, {"id": "2", "name": "b", "x": "%s"}, {"id": "3", "name": "c"}]}'
    graph.answers = [lambda _: web.Response(body=body % HALF.encode())]
    before = Listed(present=True, status="APPROVED", fingerprint=None, asked_at=None, is_settled=True)
    listing = Listing("1029", {"2": before})
    listing.take(await graph.listing())

    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert listing.to_compare({"2": before}, now) == ["1", "3"]
    assert [one.template_id for one in listing.differences(["1", "3"], [], now).added] == ["1", "3"]
    assert listing.counts({"2": before}, now).by_status == {"APPROVED": 1, "UNKNOWN": 2}


@pytest.mark.parametrize("name", [HALF, r"NUL \u0000", r"\uDFFF"])
async def test_a_name_that_no_store_can_hold_becomes_a_record_that_stops_everybody(graph: Scripted, name: str) -> None:
    body = f'{{"data": [{{"id": "7", "verified_name": "{name}", "display_phone_number": 3}}, 7, {{}}]}}'
    graph.answers = [lambda _: web.Response(body=body.encode())]
    async with Graph(graph.settings) as client:
        answer, _ = await client.call("GET", "1029/phone_numbers", SecretStr(TOKEN))

    [number] = phone_numbers(answer["data"])
    found = answered(
        WabaHealth(waba_id="1029"), Answers({}, {}, answer), our_callback_url="https://us.example", app_id="1"
    )
    for text in (number.verified_name, found["numbers"][0].verified_name):
        assert text is not None
        assert text.endswith("\N{REPLACEMENT CHARACTER}")
    assert number.model_dump_json()
    assert number.display_phone_number is None


@pytest.mark.parametrize("body", [b'{"a": "\\ud83d", "b": NaN}', b'{"a": "\\ud83d"', b"[" * 100_000 + b"\\ud83d"])
async def test_what_is_no_json_is_malformed_with_half_an_emoji_too(graph: Scripted, body: bytes) -> None:
    graph.answers = [lambda _: web.Response(body=body)]
    with pytest.raises(MalformedAnswer):
        await graph.listing()


async def test_an_endless_page_is_cut_off(graph: Scripted) -> None:
    graph.answers = [refusal(200, b" " * (MAX_ANSWER_BYTES + 1))]

    with pytest.raises(TooMuchData):
        await graph.listing()


async def test_no_error_and_no_log_line_has_the_token(graph: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    graph.answers = [refusal(400, error(190, message=f"Malformed access token {TOKEN}"))]

    with structlog.testing.capture_logs() as logs, pytest.raises(TokenExpired) as caught:
        await graph.listing()

    printed = capsys.readouterr()
    assert TOKEN not in "".join([str(logs), repr(caught.value), caught.value.message, printed.out, printed.err])


async def test_a_server_that_is_not_there_is_an_outage_without_a_trace_of_the_token(graph: Scripted) -> None:
    with pytest.raises(GraphUnavailable) as caught:
        await graph.listing(meta_graph_url="http://127.0.0.1:9")

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_account_close_to_its_limit_is_slowed_down_and_another_is_not() -> None:
    pace = Pace()
    pace.used("near", Usage(95), now=100)
    pace.used("far", Usage(30), now=100)

    assert pace.slowed_for("near", now=101) == pytest.approx(6.5)
    assert pace.slowed_for("far", now=101) == 0


def test_an_account_at_its_limit_rests_and_another_does_not_unless_the_limit_is_the_app_s() -> None:
    pace = Pace()
    pace.limited("one", 60, now=100)

    assert (pace.refused_for("one", now=110), pace.refused_for("other", now=110)) == (50, 0)
    pace.limited("", 20, now=100)
    assert pace.refused_for("other", now=110) == 10
    assert pace.refused_for("one", now=161) == 0


def failing(breaker: Breaker, accounts: str, now: float = 0) -> Breaker:
    for account in accounts:
        breaker.failed(account, now)
    return breaker


def test_an_outage_of_all_accounts_opens_the_breaker_and_one_account_s_trouble_does_not() -> None:
    assert failing(Breaker(), "ab" * (OPEN_AFTER // 2)).is_open
    assert not failing(Breaker(), "a" * OPEN_AFTER).is_open


def test_an_open_breaker_lets_one_probe_through_and_rests_longer_after_each_that_fails() -> None:
    breaker = failing(Breaker(), "ab" * OPEN_AFTER)

    assert breaker.refuses_for(now=COOL_DOWN / 2) == COOL_DOWN / 2
    assert breaker.refuses_for(now=COOL_DOWN) is None
    assert breaker.refuses_for(now=COOL_DOWN) is not None
    breaker.failed("a", now=COOL_DOWN)
    assert breaker.refuses_for(now=COOL_DOWN) == 2 * COOL_DOWN


def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    breaker = failing(Breaker(), "ab" * OPEN_AFTER)
    breaker.refuses_for(now=COOL_DOWN)

    breaker.succeeded()

    assert not breaker.is_open
    assert breaker.refuses_for(now=COOL_DOWN) is None


async def test_during_an_outage_calls_fail_at_once_and_the_first_probe_that_succeeds_ends_it(
    graph: Scripted, eventually: Eventually
) -> None:
    graph.answers = [refusal(503, b"down")]
    async with Graph(graph.settings) as client:

        async def call(account: str) -> Any:
            return await client.call("GET", "1", None, account=account)

        with pytest.raises(GraphUnavailable):
            await call("a")
        with pytest.raises(GraphUnavailable):
            await call("b")
        asked = len(graph.requests)
        with pytest.raises(MetaOutage) as outage:
            await call("c")

        assert len(graph.requests) == asked
        assert 0 < outage.value.retry_after <= COOL_DOWN
        graph.answers = [refusal(200, b"{}")]

        async def is_over() -> bool:
            try:
                await call("c")
            except MetaOutage:
                return False
            return True

        await eventually(is_over)
        assert (await call("a"))[0] == {}


async def test_who_waits_for_a_limit_does_it_where_it_holds_nobody_up(graph: Scripted) -> None:
    rested: list[float] = []

    async def rest(seconds: float) -> None:
        rested.append(seconds)

    graph.answers = [refusal(429, error(80008), **{"Retry-After": "7"}), page("a")]
    async with Graph(graph.settings) as client:
        with pytest.raises(RateLimited) as limited:
            await client.call("GET", "1", None, account="one", rest=rest)
        await client.call("GET", "1", None, account="other", rest=rest)

    assert rested
    assert all(6 < seconds < 8 for seconds in rested)
    assert limited.value.retry_after > 6
    assert len(graph.requests) == 2


async def test_a_post_whose_answer_was_lost_is_not_sent_again(graph: Scripted) -> None:
    def cut_off(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    graph.answers = [cut_off]
    async with Graph(graph.settings) as client:
        with pytest.raises(GraphUnavailable):
            await client.call("POST", "1/subscribed_apps", None)

    assert len(graph.requests) == 1
