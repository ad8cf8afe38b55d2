"""Graph's errors sorted: stable codes, one sentence for the person who must act, whether trying again may help.

Pure. Sources: Meta's "Handle errors" (Graph API), "Error codes" (WhatsApp Business Platform) and "Rate limits".
What only a message tells apart: "Webhook overrides", requirements (chatwoot#12488, #13279, evolution-api#807);
"Securing Graph API calls" (facebook-python-business-sdk#528); `oauth/access_token` ("Error validating client secret.");
"Tried accessing nonexisting field" (rapidpro#1545, pipedream#9004); `debug_token` ("did not match the Viewing App").
Meta's own error messages are never passed on: some of them quote the access token.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from wabus_whatsapp.sending.errors import kind_of

RETRY_AFTER_UNKNOWN = 60.0  # seconds to leave an account alone when Meta does not say how long
RETRY_AFTER_MAX = 24 * 3600.0  # seconds; Meta's own longest window

# Parts of Meta's messages, in lower case, of errors whose code says too little.
TOO_MUCH_DATA = "reduce the amount of data"
NOT_SUBSCRIBED = "your app must be subscribed"
PROOF_REFUSED = "appsecret_proof"
APP_UNKNOWN = "error validating client secret"
OTHER_APP = "did not match the viewing app"
OBJECT_HIDDEN = "does not exist, cannot be loaded due to missing permissions"
NO_SUCH_FIELD = re.compile(r"nonexisting field \((\w+)\) on node type \((\w+)\)")
ACCOUNT_NODE = "whatsappbusinessaccount"
ACCOUNT_EDGES = frozenset({"phone_numbers", "message_templates", "subscribed_apps"})


class GraphError(Exception):
    """Graph refused, or did not answer. `code` is stable; `message` says what happened and what to do."""

    code: ClassVar[str] = "graph_error"
    message: ClassVar[str] = "WhatsApp refused the request. Please try again later."
    retryable: ClassVar[bool] = True
    """Whether trying again later may help without anybody doing anything."""

    def __init__(self, graph_code: int | None = None, graph_subcode: int | None = None, trace_id: str | None = None):
        super().__init__(self.code)
        self.graph_code = graph_code
        self.graph_subcode = graph_subcode
        self.trace_id = trace_id
        """Meta's `fbtrace_id`, for their support."""

    @property
    def wait(self) -> float | None:
        """Seconds before which trying again is of no use, where known."""
        return None


class TokenExpired(GraphError):
    code = "token_expired"
    message = "The access to WhatsApp has expired or was revoked. Please connect the account again."
    retryable = False


class PermissionLost(GraphError):
    code = "permission_lost"
    message = (
        "We are not, or no longer, allowed to manage this WhatsApp account. Please connect it again and grant "
        "access to manage WhatsApp."
    )
    retryable = False


class AccountNotFound(GraphError):
    code = "account_not_found"
    message = (
        "WhatsApp doesn't know this account, or no longer shares it with us. Please check in Meta Business Manager "
        "that it still exists, then connect it again."
    )
    retryable = False


class NotAnAccount(AccountNotFound):
    """The id is that of something else at Meta, as of the business portfolio that owns the account."""

    message = (
        "This is not the id of a WhatsApp Business account; Meta has something else under it, perhaps the business "
        "portfolio or a phone number. The right one is called “WhatsApp Business Account ID” in Meta's App Dashboard, "
        "under WhatsApp, API Setup, and stands in Business Settings under Accounts, WhatsApp accounts."
    )


class AccountBlocked(GraphError):
    code = "account_blocked"
    message = (
        "Meta has blocked this account for a while because of its policies. Please look at Business Support Home in "
        "Meta Business Manager."
    )
    retryable = False


class RateLimited(GraphError):
    """Too many calls. `retry_after` is in seconds."""

    code = "rate_limited"
    message = "WhatsApp limits how often an account may be read, and the limit is reached. Please try again in a while."

    def __init__(
        self,
        graph_code: int | None = None,
        graph_subcode: int | None = None,
        trace_id: str | None = None,
        retry_after: float = RETRY_AFTER_UNKNOWN,
    ):
        super().__init__(graph_code, graph_subcode, trace_id)
        self.retry_after = retry_after

    @property
    def wait(self) -> float:
        return self.retry_after

    @property
    def concerns_everybody(self) -> bool:
        """Whether it is the app that called too often, not one account."""
        return self.graph_code == 4


class AppRefused(GraphError):
    """Graph refuses our app itself: its secret, or the token made of it. No customer's token is the cause.

    The operator has to act, nobody else; until then each call is refused, and afterwards none.
    """

    code = "app_refused"
    message = (
        "WhatsApp does not accept this service's own app at the moment. This is for whoever runs this service to "
        "repair; the access to your account is not the cause."
    )


class TokenOfAnotherApp(GraphError):
    code = "token_of_another_app"
    message = "The access token was made for another Meta app than META_APP_ID. Please make one with that app."
    retryable = False


class AppNotSubscribed(GraphError):
    """Meta takes no callback URL for an account while the app receives no `messages` of it at its own callback."""

    code = "app_not_subscribed"
    message = (
        "WhatsApp takes no callback URL for this account, because the app itself does not receive messages yet. In "
        "Meta's App Dashboard, under WhatsApp, Configuration, set the app's own callback URL and subscribe to the "
        "field “messages”; then connect the account again."
    )
    retryable = False


class BadRequest(GraphError):
    code = "bad_request"
    message = "WhatsApp did not accept our request. This is for us to repair; trying again will not help."
    retryable = False


class FieldUnknown(BadRequest):
    """`field` is the one that the object has not; of several Graph names the first."""

    message = (
        "WhatsApp does not have something that we asked for. This is for whoever runs this service to repair, perhaps "
        "with another META_GRAPH_VERSION; trying again will not help."
    )

    def __init__(
        self,
        graph_code: int | None = None,
        graph_subcode: int | None = None,
        trace_id: str | None = None,
        field: str | None = None,
    ):
        super().__init__(graph_code, graph_subcode, trace_id)
        self.field = field


class GraphUnavailable(GraphError):
    code = "graph_unavailable"
    message = "WhatsApp can't be reached right now. Nothing is lost; please try again in a few minutes."


class AnswerLost(GraphUnavailable):
    """Graph may have done what was asked: the call went out, and no answer came."""


class MetaOutage(GraphUnavailable):
    """Meta has been out of order for all accounts, so this call was not even made. `retry_after` is in seconds."""

    def __init__(self, retry_after: float):
        super().__init__()
        self.retry_after = retry_after

    @property
    def wait(self) -> float:
        return self.retry_after


class TooMuchData(GraphUnavailable):
    """The page asked for is larger than Graph is ready to give, or we to take."""


class MalformedAnswer(GraphUnavailable):
    code = "malformed_answer"
    message = "WhatsApp's answer could not be understood. Nothing is lost; please try again in a few minutes."


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of its rate limit an account has used up, in percent, and when it may call again if it is over."""

    percent: float = 0.0
    regain_seconds: float = 0.0


def classify(status: int, body: bytes, headers: Mapping[str, str], *, of_app: bool = False) -> GraphError:
    """What an answer other than success means. `of_app`: the call was made with the app's own token."""
    found = _classify(status, body, headers)
    if of_app and isinstance(found, TokenExpired | PermissionLost | AccountNotFound | AccountBlocked):
        # What these say of the caller says here that META_APP_ID or META_APP_SECRETS will not do.
        return AppRefused(found.graph_code, found.graph_subcode, found.trace_id)
    return found


def _classify(status: int, body: bytes, headers: Mapping[str, str]) -> GraphError:
    error = _error_of(body)
    if error is None:
        if status == 429:
            return RateLimited(retry_after=_retry_after(headers))
        return GraphUnavailable() if status >= 500 else MalformedAnswer()
    code, subcode = _number(error.get("code")), _number(error.get("error_subcode"))
    trace = error.get("fbtrace_id")
    about = (code, subcode, trace if isinstance(trace, str) else None)
    message = str(error.get("message")).lower()
    match code:
        case 101:
            return AppRefused(*about)
        case 1 if APP_UNKNOWN in message:
            return AppRefused(*about)
        case 100 if PROOF_REFUSED in message:
            return AppRefused(*about)
        case 100 if NOT_SUBSCRIBED in message:
            return AppNotSubscribed(*about)
        case 100 if OTHER_APP in message:
            return TokenOfAnotherApp(*about)
        case 100 if refused := NO_SUCH_FIELD.search(message):
            # Any account has these lists. Any other field is ours to ask for rightly.
            is_no_account = refused[1] in ACCOUNT_EDGES and refused[2] != ACCOUNT_NODE
            return NotAnAccount(*about) if is_no_account else FieldUnknown(*about, field=refused[1])
        case 190 | 102 | 463 | 467:
            return TokenExpired(*about)
        case int() if kind_of(code) in ("busy_number", "busy_pair", "calls_limited"):
            return RateLimited(*about, retry_after=_retry_after(headers))
        case 3 | 10:
            return PermissionLost(*about)
        case int() if 200 <= code <= 299:
            return PermissionLost(*about)
        case 100 if subcode == 33 or OBJECT_HIDDEN in message:
            return AccountNotFound(*about)
        case 803:
            return AccountNotFound(*about)
        case 368 | 131031:
            return AccountBlocked(*about)
        case 1 | 2 if TOO_MUCH_DATA in message:
            return TooMuchData(*about)
        case 1 | 2:
            return GraphUnavailable(*about)
        case 100:
            return BadRequest(*about)
        case _:
            return _by_status(status, about, error.get("is_transient") is True, headers)


def usage(headers: Mapping[str, str]) -> Usage:
    """The highest of what `X-App-Usage` and `X-Business-Use-Case-Usage` report; zero where there is none."""
    reports = [*_reports(headers.get("X-App-Usage")), *_reports(headers.get("X-Business-Use-Case-Usage"))]
    percents = [
        float(report[key])
        for report in reports
        for key in ("call_count", "total_cputime", "total_time")
        if _is_number(report.get(key))
    ]
    minutes = [
        float(report["estimated_time_to_regain_access"])
        for report in reports
        if _is_number(report.get("estimated_time_to_regain_access"))
    ]
    return Usage(max(percents, default=0.0), min(max(minutes, default=0.0) * 60, RETRY_AFTER_MAX))


def named_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait, by `Retry-After` (RFC 9110); None where it names none."""
    given = headers.get("Retry-After", "")
    return min(float(given), RETRY_AFTER_MAX) if given.isascii() and given.isdigit() else None


def _by_status(
    status: int, about: tuple[int | None, int | None, str | None], transient: bool, headers: Mapping[str, str]
) -> GraphError:
    if transient or status >= 500:
        return GraphUnavailable(*about)
    match status:
        case 401:
            return TokenExpired(*about)
        case 403:
            return PermissionLost(*about)
        case 429:
            return RateLimited(*about, retry_after=_retry_after(headers))
        case _:
            return BadRequest(*about)


def _error_of(body: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else None


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds: `Retry-After` (Meta sends seconds) or what the usage headers estimate, else a guess."""
    named = named_wait(headers)
    return usage(headers).regain_seconds or RETRY_AFTER_UNKNOWN if named is None else named


def _reports(header: str | None) -> Iterable[dict[str, Any]]:
    """`X-App-Usage` is one report; `X-Business-Use-Case-Usage` has a list of them for each business object id."""
    try:
        parsed = orjson.loads(header or "{}")
    except orjson.JSONDecodeError:
        return []
    if not isinstance(parsed, dict):
        return []
    nested = [report for value in parsed.values() if isinstance(value, list) for report in value]
    return [report for report in (parsed, *nested) if isinstance(report, dict)]


def _number(value: Any) -> int | None:
    return value if _is_number(value) and isinstance(value, int) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
