"""The Graph API as far as template-sync calls it: every page of a WABA's templates, with patience and with limits.

Sources: Meta's "WhatsApp Business Account, message_templates", "Paginated results", "Securing Graph API calls"
(`appsecret_proof`), "Rate limits". The token travels in the Authorization header only, never in a URL, a log or an
error.
"""

import asyncio
import hashlib
import hmac
import random
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import orjson
import stamina
import structlog
from prometheus_client import Counter, Histogram
from pydantic import Field, SecretStr
from wabus_runtime.settings import MetaSettings

from wabus_template_sync.failures import (
    GraphError,
    GraphUnavailable,
    MalformedAnswer,
    RateLimited,
    TooMuchData,
    Usage,
    classify,
    usage,
)

FIELDS = (
    "id,name,language,status,category,sub_category,previous_category,correct_category,parameter_format,quality_score,"
    "rejected_reason,components,message_send_ttl_seconds,library_template_name,cta_url_link_tracking_opted_out"
)
PAGE_SIZE = 100  # templates; Meta's default is 25
MAX_PAGES = 2_000  # a WABA has at most 6,000 templates; more pages than this are a loop
MAX_PAGE_BYTES = 16 * 1024 * 1024
CONNECT_TIMEOUT = 5.0  # seconds
ATTEMPTS = 4  # for one page, when Graph is away or in trouble
RATE_LIMIT_WAITS = 5  # times that one page waits for a rate limit
NEARLY_USED = 80.0  # percent of a rate limit from which on calls are spread out
SLOWEST = 10.0  # seconds between two pages when the limit is all used

CALLS = Counter("wabus_graph_calls_total", "Calls to the Graph API.", ["outcome"])
CALL_SECONDS = Histogram("wabus_graph_call_seconds", "One call to the Graph API.")

log = structlog.get_logger()


class GraphSettings(MetaSettings):
    graph_timeout: float = Field(default=30, gt=0)
    """Seconds for one call."""
    graph_rate_limit_wait: float = Field(default=60, ge=0)
    """Seconds that one page waits for a rate limit in all; a longer one fails the sync, which then says so."""


def new_session(settings: GraphSettings) -> aiohttp.ClientSession:
    """The connections to Graph; keeps no cookies."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=settings.graph_timeout, connect=CONNECT_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=64, ttl_dns_cache=60),
        headers={"User-Agent": "wabus-template-sync", "Accept": "application/json"},
    )


async def template_pages(
    session: aiohttp.ClientSession, settings: GraphSettings, waba_id: str, token: SecretStr
) -> AsyncGenerator[list[Any]]:
    """Every page of the WABA's templates, as Graph gives them.

    Raises a `GraphError` once retries are used up: a listing is whole or it fails.
    """
    url = f"{settings.meta_graph_url}/{settings.meta_graph_version}/{quote(waba_id, safe='')}/message_templates"
    query = {"fields": FIELDS, "appsecret_proof": _proof(settings.meta_app_secrets[0], token)}
    limit, after = PAGE_SIZE, None
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        cursor = {"after": after} if after else {}
        try:
            page, used = await _patiently(session, settings, url, {**query, **cursor, "limit": str(limit)}, token)
        except TooMuchData:
            if limit == 1:
                raise
            limit = max(1, limit // 4)
            log.info("asking for smaller pages", action="page_shrunk", waba_id=waba_id, limit=limit)
            continue
        templates = page["data"]
        yield templates
        after = next_cursor(page, settings.meta_graph_url, full=len(templates) >= limit)
        if after is None:
            return
        if after in seen:
            raise MalformedAnswer
        seen.add(after)
        await asyncio.sleep(pause_after(used))
    raise MalformedAnswer


def next_cursor(page: Mapping[str, Any], graph_url: str, *, full: bool) -> str | None:
    """Where the next page begins, or None after the last one.

    `paging.next` says that there is one, but is never followed itself: only its cursor is taken, and none from
    another host. Without `next`, a `full` page that has a cursor is asked on, rather than templates being lost.
    """
    paging = page.get("paging")
    if not isinstance(paging, dict):
        return None
    link, cursors = paging.get("next"), paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if isinstance(after, str) and after:
        return after if link or full else None
    if not isinstance(link, str):
        return None
    try:
        parts = urlsplit(link)
        same_host = parts.hostname == urlsplit(graph_url).hostname
    except ValueError:
        raise MalformedAnswer from None
    given = parse_qs(parts.query).get("after", [""])[0]
    if not same_host or not given:
        raise MalformedAnswer
    return given


def pause_after(used: Usage) -> float:
    """Seconds to wait before the next call so that the limit is not reached: none until `NEARLY_USED`, then growing."""
    over = min(used.percent, 100.0) - NEARLY_USED
    return max(0.0, over / (100.0 - NEARLY_USED) * SLOWEST)


async def _patiently(
    session: aiohttp.ClientSession, settings: GraphSettings, url: str, query: Mapping[str, str], token: SecretStr
) -> tuple[dict[str, Any], Usage]:
    """One page, waiting for rate limits as long as the settings allow."""
    loop = asyncio.get_running_loop()
    patience = loop.time() + settings.graph_rate_limit_wait
    for _ in range(RATE_LIMIT_WAITS):
        try:
            return await _with_retries(session, url, query, token)
        except RateLimited as limited:
            wait = limited.retry_after * random.uniform(1, 1.1)  # noqa: S311
            if loop.time() + wait > patience:
                raise
            log.info("waiting for a rate limit", action="rate_limited", seconds=round(wait, 1))
            await asyncio.sleep(wait)
    return await _with_retries(session, url, query, token)


async def _with_retries(
    session: aiohttp.ClientSession, url: str, query: Mapping[str, str], token: SecretStr
) -> tuple[dict[str, Any], Usage]:
    """One page; what may be over in a moment is tried again."""
    async for attempt in stamina.retry_context(
        on=_is_passing, attempts=ATTEMPTS, timeout=60, wait_initial=0.2, wait_max=5, wait_jitter=0.5
    ):
        with attempt:
            return await _call(session, url, query, token)
    raise AssertionError("unreachable")


def _is_passing(error: Exception) -> bool:
    return isinstance(error, GraphUnavailable) and not isinstance(error, TooMuchData)


async def _call(
    session: aiohttp.ClientSession, url: str, query: Mapping[str, str], token: SecretStr
) -> tuple[dict[str, Any], Usage]:
    outcome = "graph_unavailable"
    try:
        with CALL_SECONDS.time():
            page, used = await _answer(session, url, query, token)
        outcome = "ok"
        return page, used
    except GraphError as error:
        outcome = error.code
        log.info(
            "graph refused",
            action="graph_error",
            code=error.code,
            graph_code=error.graph_code,
            graph_subcode=error.graph_subcode,
            trace_id=error.trace_id,
        )
        raise
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log.info("graph did not answer", action="graph_error", code=outcome, error=type(error).__name__)
        # `from None`: aiohttp's exceptions carry the request, and with it the Authorization header.
        raise GraphUnavailable from None
    finally:
        CALLS.labels(outcome).inc()


async def _answer(
    session: aiohttp.ClientSession, url: str, query: Mapping[str, str], token: SecretStr
) -> tuple[dict[str, Any], Usage]:
    authorisation = {"Authorization": f"Bearer {token.get_secret_value()}"}
    # A redirect would take the token to wherever it points.
    async with session.get(url, params=query, headers=authorisation, allow_redirects=False) as response:
        body = await _bounded(response.content)
        if response.status != 200:
            raise classify(response.status, body, response.headers)
        try:
            page = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise MalformedAnswer from None
        if not isinstance(page, dict):
            raise MalformedAnswer
        if not isinstance(page.get("data"), list):
            raise classify(response.status, body, response.headers)
        return page, usage(response.headers)


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_PAGE_BYTES:
            raise TooMuchData
    return bytes(body)


def _proof(app_secret: SecretStr, token: SecretStr) -> str:
    """Meta: "Securing Graph API calls": shows that the caller has the app's secret, without sending it."""
    return hmac.new(
        app_secret.get_secret_value().encode(), token.get_secret_value().encode(), hashlib.sha256
    ).hexdigest()
