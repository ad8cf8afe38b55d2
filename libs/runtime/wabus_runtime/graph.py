"""Calls to Meta's Graph API, with patience and with limits. The token travels in the Authorization header only.

Sources: Meta's "Securing Graph API calls" (`appsecret_proof`), "Rate limits", "Handle errors".
"""

import asyncio
import hashlib
import hmac
import random
from collections.abc import Mapping
from typing import Any, Literal, cast

import aiohttp
import orjson
import stamina
import structlog
from prometheus_client import Counter, Histogram
from pydantic import Field, SecretStr

from wabus_runtime.graph_errors import (
    GraphError,
    GraphUnavailable,
    MalformedAnswer,
    RateLimited,
    TooMuchData,
    Usage,
    classify,
    usage,
)
from wabus_runtime.settings import MetaSettings

MAX_ANSWER_BYTES = 16 * 1024 * 1024
CONNECT_TIMEOUT = 5.0  # seconds
ATTEMPTS = 4  # for one call, when Graph is away or in trouble
RATE_LIMIT_WAITS = 5  # times that one call waits for a rate limit

CALLS = Counter("wabus_graph_calls_total", "Calls to the Graph API.", ["outcome"])
CALL_SECONDS = Histogram("wabus_graph_call_seconds", "One call to the Graph API.")

log = structlog.get_logger()

Method = Literal["GET", "POST", "DELETE"]


class GraphSettings(MetaSettings):
    graph_timeout: float = Field(default=30, gt=0)
    """Seconds for one call."""
    graph_rate_limit_wait: float = Field(default=60, ge=0)
    """Seconds that one call waits for a rate limit in all; a longer one is an error, which then says so."""


class Graph:
    """A client with its connections; keeps no cookies and no tokens. Use it as an async context manager."""

    def __init__(self, settings: GraphSettings) -> None:
        self._settings = settings
        self._root = f"{settings.meta_graph_url}/{settings.meta_graph_version}/"
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=settings.graph_timeout, connect=CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=64, ttl_dns_cache=60),
            headers={"User-Agent": "wabus", "Accept": "application/json"},
        )

    async def __aenter__(self) -> "Graph":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(
        self, method: Method, path: str, token: SecretStr | None, query: Mapping[str, str] | None = None
    ) -> tuple[dict[str, Any], Usage]:
        """Graph's answer and how much of the rate limit is used; without a token for the exchange of a code.

        What may be over in a moment is tried again, a rate limit waited for as long as the settings allow.
        Raises a `GraphError` once that is used up.
        """
        proof = {"appsecret_proof": _proof(self._settings.meta_app_secrets[0], token)} if token else {}
        signed = {**(query or {}), **proof}
        loop = asyncio.get_running_loop()
        patience = loop.time() + self._settings.graph_rate_limit_wait
        for _ in range(RATE_LIMIT_WAITS):
            try:
                return await self._with_retries(method, path, token, signed)
            except RateLimited as limited:
                wait = limited.retry_after * random.uniform(1, 1.1)  # noqa: S311
                if loop.time() + wait > patience:
                    raise
                log.info("waiting for a rate limit", action="rate_limited", seconds=round(wait, 1))
                await asyncio.sleep(wait)
        return await self._with_retries(method, path, token, signed)

    async def _with_retries(
        self, method: Method, path: str, token: SecretStr | None, query: Mapping[str, str]
    ) -> tuple[dict[str, Any], Usage]:
        async for attempt in stamina.retry_context(
            on=_is_passing, attempts=ATTEMPTS, timeout=60, wait_initial=0.2, wait_max=5, wait_jitter=0.5
        ):
            with attempt:
                return await self._counted(method, path, token, query)
        raise GraphUnavailable

    async def _counted(
        self, method: Method, path: str, token: SecretStr | None, query: Mapping[str, str]
    ) -> tuple[dict[str, Any], Usage]:
        outcome = GraphUnavailable.code
        try:
            with CALL_SECONDS.time():
                answer = await self._answer(method, path, token, query)
            outcome = "ok"
            return answer
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
        self, method: Method, path: str, token: SecretStr | None, query: Mapping[str, str]
    ) -> tuple[dict[str, Any], Usage]:
        authorisation = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        # A redirect would take the token to wherever it points.
        async with self._session.request(
            method, self._root + path, params=query, headers=authorisation, allow_redirects=False
        ) as response:
            body = await _bounded(response.content)
            if response.status != 200:
                raise classify(response.status, body, response.headers)
            try:
                answer = orjson.loads(body)
            except orjson.JSONDecodeError:
                raise MalformedAnswer from None
            if not isinstance(answer, dict):
                raise MalformedAnswer
            content = cast(dict[str, Any], answer)
            if "error" in content:
                raise classify(response.status, body, response.headers)
            return content, usage(response.headers)


def _is_passing(error: Exception) -> bool:
    return isinstance(error, GraphUnavailable) and not isinstance(error, TooMuchData)


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise TooMuchData
    return bytes(body)


def _proof(app_secret: SecretStr, token: SecretStr) -> str:
    """Meta: "Securing Graph API calls": shows that the caller has the app's secret, without sending it."""
    return hmac.new(
        app_secret.get_secret_value().encode(), token.get_secret_value().encode(), hashlib.sha256
    ).hexdigest()
