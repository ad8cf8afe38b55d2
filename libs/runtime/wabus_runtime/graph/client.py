"""Calls to Meta's Graph API, with patience and with limits. The caller's token travels in the Authorization header.

Only what Meta takes in no other place goes into an address: the codes, tokens and the app secret of
`oauth/access_token` and `debug_token`. Addresses are never logged.

Each account is slowed down before it reaches its limit and rests when it has; an outage of Meta is noticed once for
all accounts (`graph_limits.py`).

Sources: Meta's "Securing Graph API calls" (`appsecret_proof`), "Rate limits", "Handle errors".
"""

import asyncio
import hashlib
import hmac
import json
import random
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import aiohttp
import orjson
import stamina
import structlog
from prometheus_client import Counter, Gauge, Histogram
from pydantic import Field, SecretStr
from wabus_whatsapp.graph_errors import (
    AnswerLost,
    AppRefused,
    GraphError,
    GraphUnavailable,
    MalformedAnswer,
    MetaOutage,
    RateLimited,
    TooMuchData,
    Usage,
    classify,
    named_wait,
    usage,
)

from wabus_runtime.graph.limits import Breaker, Pace, RefusedFields
from wabus_runtime.settings import MetaSettings

MAX_ANSWER_BYTES = 16 * 1024 * 1024
CONNECT_TIMEOUT = 5.0  # seconds
CONNECTIONS = 64
KEEP_ALIVE = 15.0  # seconds
UPLOAD_TIMEOUT = 300.0  # seconds for one file
ATTEMPTS = 4  # for one call, when Graph is away or in trouble
RATE_LIMIT_WAITS = 5  # times that one call waits for a rate limit

CALLS = Counter("wabus_graph_calls_total", "Calls to the Graph API.", ["outcome"])
CALLS.labels(AppRefused.code)  # from 0 on, so that the first ones count as an increase too
OUTAGE = Gauge("wabus_graph_outage", "1 while calls fail at once because Meta is out of order.")
CALL_SECONDS = Histogram("wabus_graph_call_seconds", "One call to the Graph API.")

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # as JSON escapes one

log = structlog.get_logger()

Method = Literal["GET", "POST", "DELETE"]
BackOff = Callable[[float], Awaitable[None]]
"""Waits for so many seconds; a caller who holds something that others need gives it back meanwhile."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one call: its HTTP status, and its body where that is a JSON object."""

    status: int
    content: Mapping[str, Any] | None
    retry_after: float | None = None
    """Seconds that it asks to wait."""
    regained_in: float = 0.0
    """Seconds until Meta takes calls again, as its usage headers estimate it; 0 where they don't."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to upload, and how its bytes are had, each time that it is sent."""

    content_type: str
    size: int
    chunks: Callable[[], AsyncIterator[bytes]]


class AppToken(SecretStr):
    """The app's own access token. What Graph says of it says nothing about any customer."""


class GraphSettings(MetaSettings):
    graph_timeout: float = Field(default=30, gt=0)
    """Seconds for one call."""
    graph_rate_limit_wait: float = Field(default=60, ge=0)
    """Seconds that one call waits for a rate limit in all; a longer one is an error, which then says so."""


class Graph:
    """A client with its connections; keeps no cookies and no tokens. Use it as an async context manager."""

    def __init__(
        self, settings: GraphSettings, *, connections: int = CONNECTIONS, keep_alive: float = KEEP_ALIVE
    ) -> None:
        """`connections` are as many as are open at most; one that is idle for `keep_alive` seconds is closed."""
        self._settings = settings
        self._pace = Pace()
        self._breaker = Breaker()
        self.refused_fields = RefusedFields()
        self._root = f"{settings.meta_graph_url}/{settings.meta_graph_version}/"
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=settings.graph_timeout, connect=CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=connections, ttl_dns_cache=60, keepalive_timeout=keep_alive),
            headers={"User-Agent": "wabus", "Accept": "application/json"},
        )

    async def __aenter__(self) -> "Graph":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(
        self,
        method: Method,
        path: str,
        token: SecretStr | None,
        query: Mapping[str, str] | None = None,
        *,
        account: str | None = None,
        rest: BackOff = asyncio.sleep,
    ) -> tuple[dict[str, Any], Usage]:
        """Graph's answer and how much of the rate limit is used; without a token for the exchange of a code.

        `account` is whose rate limit it counts against, where that is known. What may be over in a moment is tried
        again, a rate limit waited for as long as the settings allow; all waiting for limits is done with `rest`.
        Raises a `GraphError` once that is used up, `MetaOutage` at once while Meta is out of order.
        """
        proof = {"appsecret_proof": _proof(self._settings.meta_app_secrets[0], token)} if token else {}
        signed = {**(query or {}), **proof}
        patience = self._settings.graph_rate_limit_wait
        for last in (*[False] * RATE_LIMIT_WAITS, True):
            if account and (pause := self._pace.slowed_for(account, _now())):
                await rest(pause)
            refused = self._pace.refused_for(account, _now()) if account else 0.0
            try:
                if refused:
                    raise RateLimited(retry_after=refused)
                answer, used = await self._with_retries(method, path, token, signed, account)
            except RateLimited as limited:
                wait = limited.retry_after * random.uniform(1, 1.1)  # noqa: S311
                if account and not refused:
                    self._pace.limited("" if limited.concerns_everybody else account, limited.retry_after, _now())
                if last or wait > patience:
                    raise
                patience -= wait
                log.info("waiting for a rate limit", action="rate_limited", account=account, seconds=round(wait, 1))
                await rest(wait)
            else:
                if account:
                    self._pace.used(account, used, _now())
                return answer, used
        raise AssertionError("unreachable")

    async def post_once(
        self, path: str, token: SecretStr, content: Mapping[str, Any], method: Literal["POST", "DELETE"] = "POST"
    ) -> Answer:
        """The answer to a JSON body that is sent once and never again by itself, whatever the answer is.

        Raises `AnswerLost` where Graph may have done what was asked, `GraphUnavailable` where it certainly was not
        asked, and `MetaOutage` where it was not because Meta has been out of order for everybody.
        """
        headers = {"Content-Type": "application/json"}
        return await self._post_once(
            path, lambda: self._posted(path, token, orjson.dumps(content), headers, method=method)
        )

    async def upload(self, path: str, token: SecretStr, file: File) -> Answer:
        """The answer to a file that is sent once, of which no more is held than a chunk.

        Source: Meta's "Media" (Cloud API reference), Upload Media. Raises as `post_once` does.
        """
        boundary = secrets.token_hex(16)
        before = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="messaging_product"\r\n\r\nwhatsapp\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="type"\r\n\r\n{file.content_type}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
            f"Content-Type: {file.content_type}\r\n\r\n"
        ).encode()
        after = f"\r\n--{boundary}--\r\n".encode()

        async def body() -> AsyncIterator[bytes]:
            yield before
            async for chunk in file.chunks():
                yield chunk
            yield after

        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(before) + file.size + len(after)),
        }
        patience = aiohttp.ClientTimeout(total=UPLOAD_TIMEOUT, connect=CONNECT_TIMEOUT)
        return await self._post_once(path, lambda: self._posted(path, token, body(), headers, patience))

    async def _post_once(self, path: str, post: Callable[[], Awaitable[Answer]]) -> Answer:
        refused = self._breaker.refuses_for(_now())
        if refused is not None:
            CALLS.labels("not_made").inc()
            raise MetaOutage(refused)
        outcome = GraphUnavailable.code
        try:
            with CALL_SECONDS.time():
                answer = await post()
            outcome = "ok" if answer.status < 300 else "refused" if answer.content else MalformedAnswer.code
        except (aiohttp.ClientError, TimeoutError, OSError, TooMuchData) as error:
            log.info("graph did not answer", action="graph_error", code=outcome, error=type(error).__name__)
            self._breaker.failed(path, _now())
            # `from None`: aiohttp's exceptions carry the request, and with it the Authorization header.
            if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                raise GraphUnavailable from None
            raise AnswerLost from None
        else:
            if answer.content is None and answer.status >= 500:
                self._breaker.failed(path, _now())
            else:
                self._breaker.succeeded()
            return answer
        finally:
            CALLS.labels(outcome).inc()
            OUTAGE.set(self._breaker.is_open)

    async def _posted(
        self,
        path: str,
        token: SecretStr,
        content: bytes | AsyncIterator[bytes],
        headers: Mapping[str, str],
        patience: aiohttp.ClientTimeout | None = None,
        method: Literal["POST", "DELETE"] = "POST",
    ) -> Answer:
        proof = {"appsecret_proof": _proof(self._settings.meta_app_secrets[0], token)}
        authorised = {"Authorization": f"Bearer {token.get_secret_value()}", **headers}
        async with self._session.request(
            method,
            self._root + path,
            params=proof,
            headers=authorised,
            data=content,
            allow_redirects=False,
            timeout=patience or self._session.timeout,
        ) as response:
            body = await _bounded(response.content)
            try:
                parsed = _parsed(body)
            except MalformedAnswer:
                parsed = None
            return Answer(
                response.status,
                cast(dict[str, Any], parsed) if isinstance(parsed, dict) else None,
                named_wait(response.headers),
                usage(response.headers).regain_seconds,
            )

    @property
    def app_token(self) -> AppToken:
        """The app's own token: "Access tokens" (Facebook Login), App access tokens."""
        return AppToken(f"{self._settings.meta_app_id}|{self._settings.meta_app_secrets[0].get_secret_value()}")

    async def debug_token(self, token: SecretStr) -> Mapping[str, Any]:
        """What Meta says of a customer's token: `data` of "Debug Token", asked for with the app's own token.

        Raises `AppRefused` where Graph refuses that one, and as `call` does.
        """
        answer, _ = await self.call("GET", "debug_token", self.app_token, {"input_token": token.get_secret_value()})
        return answer.get("data") or {}

    async def _with_retries(
        self, method: Method, path: str, token: SecretStr | None, query: Mapping[str, str], account: str | None
    ) -> tuple[dict[str, Any], Usage]:
        def is_passing(error: Exception) -> bool:
            if not isinstance(error, GraphUnavailable) or isinstance(error, TooMuchData | MetaOutage):
                return False
            return method != "POST" or not isinstance(error, AnswerLost)

        async for attempt in stamina.retry_context(
            on=is_passing, attempts=ATTEMPTS, timeout=60, wait_initial=0.2, wait_max=5, wait_jitter=0.5
        ):
            with attempt:
                return await self._unless_out_of_order(method, path, token, query, account or path)
        raise GraphUnavailable

    async def _unless_out_of_order(
        self, method: Method, path: str, token: SecretStr | None, query: Mapping[str, str], account: str
    ) -> tuple[dict[str, Any], Usage]:
        refused = self._breaker.refuses_for(_now())
        if refused is not None:
            CALLS.labels("not_made").inc()
            raise MetaOutage(refused)
        try:
            answer = await self._counted(method, path, token, query)
        except (TooMuchData, MalformedAnswer):
            self._breaker.succeeded()
            raise
        except GraphUnavailable:
            was_open = self._breaker.is_open
            self._breaker.failed(account, _now())
            if self._breaker.is_open and not was_open:
                log.warning("meta is out of order", action="outage_began")
            raise
        except GraphError:
            self._breaker.succeeded()
            raise
        else:
            if self._breaker.is_open:
                log.info("meta is back", action="outage_ended")
            self._breaker.succeeded()
            return answer
        finally:
            OUTAGE.set(self._breaker.is_open)

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
            ours = isinstance(error, AppRefused)
            (log.error if ours else log.info)(
                "graph refuses the app itself" if ours else "graph refused",
                action="app_refused" if ours else "graph_error",
                code=error.code,
                graph_code=error.graph_code,
                graph_subcode=error.graph_subcode,
                trace_id=error.trace_id,
            )
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("graph did not answer", action="graph_error", code=outcome, error=type(error).__name__)
            # `from None`: aiohttp's exceptions carry the request, and with it the Authorization header.
            if isinstance(error, aiohttp.ClientConnectorError):
                raise GraphUnavailable from None
            raise AnswerLost from None
        finally:
            CALLS.labels(outcome).inc()

    async def _answer(
        self, method: Method, path: str, token: SecretStr | None, query: Mapping[str, str]
    ) -> tuple[dict[str, Any], Usage]:
        authorisation = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        of_app = isinstance(token, AppToken)
        # A redirect would take the token to wherever it points.
        async with self._session.request(
            method, self._root + path, params=query, headers=authorisation, allow_redirects=False
        ) as response:
            body = await _bounded(response.content)
            if response.status != 200:
                raise classify(response.status, body, response.headers, of_app=of_app)
            answer = _parsed(body)
            if not isinstance(answer, dict):
                raise MalformedAnswer
            content = cast(dict[str, Any], answer)
            if "error" in content:
                raise classify(response.status, body, response.headers, of_app=of_app)
            return content, usage(response.headers)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _parsed(body: bytes) -> Any:
    """An answer's JSON. Raises `MalformedAnswer`.

    Graph cuts texts in the middle of an emoji, and orjson takes no half of a surrogate pair: it is for whoever reads
    the text to say what becomes of it, rather than to lose all that came with it.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if not _SURROGATE.search(body):
            raise MalformedAnswer from None
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise MalformedAnswer from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


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
