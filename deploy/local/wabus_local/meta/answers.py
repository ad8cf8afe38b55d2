"""How Graph answers: error bodies, pages with cursors, chosen fields, usage headers. Pure."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

LIMIT_DEFAULT = 25
LIMIT_MAX = 250

Json = dict[str, Any]


@dataclass
class GraphError(Exception):
    """An error as Graph reports it. See "Handle Errors" (Graph API) and "Error codes" (WhatsApp Business Platform)."""

    message: str
    code: int
    status: int = 400  # HTTP
    type: str = "OAuthException"
    subcode: int | None = None
    transient: bool = False
    user_title: str | None = None
    user_message: str | None = None

    def body(self, trace_id: str) -> Json:
        error: Json = {"message": self.message, "type": self.type, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.transient:
            error["is_transient"] = True
        if self.user_title:
            error |= {"error_user_title": self.user_title, "error_user_msg": self.user_message or ""}
        return {"error": error | {"fbtrace_id": trace_id}}


def no_token() -> GraphError:
    return GraphError("An access token is required to request this resource.", 104, status=401)


def malformed_token() -> GraphError:
    return GraphError("Invalid OAuth access token - Cannot parse access token", 190, status=401)


def refused_app_token() -> GraphError:
    """`APP_ID|SECRET` with a secret that is not, or no longer, the app's. See firebase-ios-sdk#2262."""
    return GraphError("Invalid OAuth access token signature.", 190)


def refused_proof() -> GraphError:
    """See "Securing Graph API calls", and facebook-python-business-sdk#528."""
    return GraphError("Invalid appsecret_proof provided in the API argument", 100, type="GraphMethodException")


def expired_token() -> GraphError:
    return GraphError("Error validating access token: Session has expired.", 190, status=401, subcode=463)


def revoked_token() -> GraphError:
    message = (
        "Error validating access token: The session has been invalidated because the user changed their "
        "password or Facebook has changed the session for security reasons."
    )
    return GraphError(message, 190, status=401, subcode=460)


def missing_scope(scope: str) -> GraphError:
    return GraphError(f"(#200) Requires {scope} permission to manage the object", 200, status=403)


def no_permission() -> GraphError:
    return GraphError("(#10) Application does not have permission for this action", 10, status=403)


def unknown_object(object_id: str, method: str = "get") -> GraphError:
    message = (
        f"Unsupported {method.lower()} request. Object with ID '{object_id}' does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation. Please read the Graph API documentation"
    )
    return GraphError(message, 100, type="GraphMethodException", subcode=33)


def unknown_path(path: str) -> GraphError:
    return GraphError(f"Unknown path components: {path}", 2500)


def bad_parameter(message: str) -> GraphError:
    return GraphError(f"(#100) {message}", 100)


def not_subscribed() -> GraphError:
    """See chatwoot#12488, chatwoot#13279, evolution-api#807."""
    return bad_parameter(
        "Before override the current callback uri, your app must be subscribed to receive messages for WhatsApp "
        "Business Account"
    )


def callback_refused(why: str) -> GraphError:
    return GraphError(f"(#2200) Callback verification failed with the following errors: {why}", 2200)


def rate_limited(code: int = 80008) -> GraphError:
    """Code 4 limits the app, 80007 and 80008 a WABA. See "Rate Limits" (Graph API)."""
    if code == 4:
        return GraphError("(#4) Application request limit reached", 4, transient=True)
    message = f"(#{code}) There have been too many calls to this WhatsApp Business account. Wait a bit and try again."
    return GraphError(message, code, subcode=2494055)


def page(
    items: Sequence[Json],
    *,
    limit: int,
    after: str | None,
    before: str | None,
    url: str,
    query: Mapping[str, str],
) -> tuple[list[Json], Json]:
    """One page of `items` (each with an `id`) and what comes beside its `data`; see "Paginated Results" (Graph API).

    `next` is an absolute URL that repeats `query`, the access token included, as Graph does it.
    """
    limit = min(limit, LIMIT_MAX)
    if after is not None:
        start = _position(items, after) + 1
    elif before is not None:
        start = max(0, _position(items, before) - limit)
    else:
        start = 0
    chosen = list(items[start : start + limit])
    if not chosen:
        return [], {}
    first, last = _cursor(start, chosen[0]), _cursor(start + len(chosen) - 1, chosen[-1])
    paging: Json = {"cursors": {"before": first, "after": last}}
    kept = {name: value for name, value in query.items() if name not in ("after", "before")} | {"limit": str(limit)}
    if start + limit < len(items):
        paging["next"] = f"{url}?{urlencode(kept | {'after': last})}"
    if start > 0:
        paging["previous"] = f"{url}?{urlencode(kept | {'before': first})}"
    return chosen, {"paging": paging}


def parse_limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if not text.isdigit() or int(text) == 0:
        raise bad_parameter("Param limit must be a positive integer")
    return int(text)


def pick(item: Json, fields: str | None, default: Sequence[str], node: str) -> Json:
    """The fields asked for, `id` always. A field that Graph would not know is an error."""
    names = [name for name in split_fields(fields) if name != "id"] if fields else list(default)
    for name in names:
        if name not in item:
            raise bad_parameter(f"Tried accessing nonexisting field ({name}) on node type ({node})")
    return {name: item[name] for name in names if item[name] is not None and name != "id"} | {"id": item["id"]}


def split_fields(fields: str) -> list[str]:
    """`a,b{c,d},e.limit(2)` names a, b and e: nested choices are not narrowed here."""
    names: list[str] = [""]
    depth = 0
    for char in fields:
        if char in "{(":
            depth += 1
        elif char in "})":
            depth -= 1
        elif depth == 0 and char == ",":
            names.append("")
        elif depth == 0:
            names[-1] += char
    return [name.split(".")[0].strip() for name in names if name.strip()]


def usage_headers(waba_id: str | None, used: int, allowed: int, minutes_to_regain: int) -> dict[str, str]:
    """`X-App-Usage` and `X-Business-Use-Case-Usage`, in per cent of what is allowed in an hour."""
    percent = min(100, round(100 * used / allowed)) if allowed else 100
    headers = {
        "X-App-Usage": json.dumps({"call_count": percent // 10, "total_cputime": 0, "total_time": percent // 10})
    }
    if waba_id:
        usage = {
            "type": "whatsapp",
            "call_count": percent,
            "total_cputime": percent // 4,
            "total_time": percent // 3,
            "estimated_time_to_regain_access": minutes_to_regain,
        }
        headers["X-Business-Use-Case-Usage"] = json.dumps({waba_id: [usage]})
    return headers


def _cursor(position: int, item: Json) -> str:
    return base64.urlsafe_b64encode(f"{position}:{item['id']}".encode()).decode().rstrip("=")


def _position(items: Sequence[Json], cursor: str) -> int:
    """Where the cursor's item is now; when it was deleted, just before where it would be."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        position, item_id = int(text.split(":")[0]), text.split(":")[1]
    except (ValueError, IndexError, binascii.Error):
        raise bad_parameter("Invalid cursors values") from None
    if position < len(items) and items[position]["id"] == item_id:
        return position
    return next((at for at, item in enumerate(items) if item["id"] == item_id), position - 1)
