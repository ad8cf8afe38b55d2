"""Who is calling: a JWT (RFC 7519) with `orgId` and `role`, signed with a shared secret or a key of a JWKS."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeGuard, cast

import jwt
import structlog
from aiohttp import web
from prometheus_client import Counter

from wabus_runtime.http.answers import Problem, too_many_requests
from wabus_runtime.http.jwks import ASYMMETRIC, Jwks, JwksTimes, KeysUnavailable
from wabus_runtime.http.rates import Rates
from wabus_runtime.http.roles import ADMINISTRATORS, allowed, needs_subject, role_of
from wabus_runtime.settings import AuthSettings

LEEWAY = 30  # seconds between our clock and the issuer's
ORG_ID_MAX = 200  # characters
SUBJECT_MAX = 255  # characters; OpenID Connect Core 1.0, section 2, allows no more

LATEST = 253_402_300_799  # Unix seconds: 9999-12-31, the last moment a datetime holds
TIMES = ("exp", "nbf", "iat")
LOGGED_A_MINUTE = 60  # refusals from one source
SUBJECT_REQUIRED = "Your token has to say who you are, by the claim `sub`."
ASKED_A_MINUTE = 60  # times that an organisation has something done: each is an event, or a call to Graph

REFUSED = Counter("wabus_calls_refused_total", "Calls refused for their token or role, logged or not.", ["reason"])

VERIFIER: web.AppKey["Verifier"] = web.AppKey("verifier")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """The organisation every query is limited to, and what the caller may do in it."""

    org_id: str
    role: str
    subject: str | None
    expires_at: float
    """When the token ends, in Unix seconds."""


class Verifier:
    """Checks tokens as `AuthSettings` say: HS256 with `JWT_SECRET`, or asymmetric keys from `JWT_JWKS_URL`."""

    def __init__(self, settings: AuthSettings, times: JwksTimes | None = None) -> None:
        self._settings = settings
        self.asked = Rates(ASKED_A_MINUTE)
        self._refusals = Rates(LOGGED_A_MINUTE)
        self._unlogged = 0
        self._jwks = Jwks(settings.jwt_jwks_url, times or JwksTimes()) if settings.jwt_jwks_url else None

    async def caller(self, token: str) -> Caller:
        """Raises `jwt.PyJWTError` when the token is not good, whatever the reason; `KeysUnavailable`."""
        try:
            return await self._caller(token)
        except (ValueError, TypeError, OverflowError, RecursionError):
            # What is no text, no number, nested without end or for a key of another kind: the library leaves some of it
            # to Python.
            raise jwt.InvalidTokenError("the token is malformed") from None

    def log_refused(self, what: str, of: str, **line: str | None) -> None:
        """Count a refusal of a token or a role, and log it unless there were too many lines about who sent it."""
        REFUSED.labels(what).inc()
        if self._refusals.note(of, time.monotonic()) is None:
            unlogged, self._unlogged = self._unlogged, 0
            log.warning("a call was refused", **line, **({"unlogged": unlogged} if unlogged else {}))
        else:
            self._unlogged += 1

    async def _caller(self, token: str) -> Caller:
        header = jwt.get_unverified_header(token)
        kind = header.get("alg")
        if "crit" in header:
            # RFC 7515, section 4.1.11: who does not understand an extension must refuse, and we know none.
            raise jwt.InvalidTokenError("the token needs an extension")
        key: Any
        if kind == "HS256" and self._settings.jwt_secret:
            key = self._settings.jwt_secret.get_secret_value()
        elif kind in ASYMMETRIC and self._jwks:
            found = await self._jwks.key(header.get("kid"))
            if found.algorithm not in (None, kind):
                raise jwt.InvalidAlgorithmError("the key is for another algorithm")
            key = found.key
        else:
            raise jwt.InvalidAlgorithmError("this algorithm is not accepted here")
        claims = jwt.decode(
            token,
            key,
            algorithms=[kind],
            audience=self._settings.jwt_audience,
            issuer=self._settings.jwt_issuer,
            leeway=LEEWAY,
            options={"require": ["exp"], "verify_aud": self._settings.jwt_audience is not None},
        )
        if not all(is_moment(claims[name]) for name in TIMES if name in claims):
            raise jwt.InvalidTokenError("a time in the token is none")
        org_id, role, subject = claims.get("orgId"), claims.get("role", "member"), claims.get("sub")
        if not is_name(org_id, ORG_ID_MAX) or not isinstance(role, str):
            raise jwt.InvalidTokenError("the token names no organisation")
        if subject is not None and not is_name(subject, SUBJECT_MAX):
            raise jwt.InvalidTokenError("the token's subject is no name")
        return Caller(org_id, role, subject, float(claims["exp"]))


async def authenticate(request: web.Request) -> Caller:
    """The caller, from the one `Authorization: Bearer …`. Raises a 401 problem (RFC 6750)."""
    given = request.headers.getall("Authorization", [])
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorised("Please sign in: this needs a bearer token.", "Bearer")
    return await caller_by(request, token.strip())


async def caller_by(request: web.Request, token: str) -> Caller:
    """The caller whose token this is. Raises a 401 problem (RFC 6750), or a 503 one where it can't be checked now."""
    try:
        return await request.app[VERIFIER].caller(token)
    except jwt.ExpiredSignatureError as error:
        _log_refused(request, error)
        raise _unauthorised("Your session has expired. Please sign in again.", 'Bearer error="invalid_token"') from None
    except KeysUnavailable:
        raise Problem(
            503,
            "identity_unavailable",
            "Temporarily unavailable",
            "Your sign-in can't be checked right now. Please try again in a moment.",
            headers={"Retry-After": "5"},
        ) from None
    except jwt.PyJWTError as error:
        _log_refused(request, error)
        raise _unauthorised("This token is not accepted here.", 'Bearer error="invalid_token"') from None


async def authorise(request: web.Request) -> Caller:
    """The caller, who has a role that may call this route. Raises a 401 or 403 problem."""
    return permitted(request, await authenticate(request))


def permitted(request: web.Request, caller: Caller) -> Caller:
    """The caller, if they may call this route. Raises a 403 problem."""
    resource = request.match_info.route.resource
    may = allowed(request.method, resource.canonical if resource else "")
    role = role_of(caller.role)
    if role not in may:
        if may == ADMINISTRATORS:
            detail = "Only an administrator of your organisation may do this."
            raise _forbidden(request, caller, "role", "admin_required", detail)
        raise _forbidden(request, caller, "role", "role_not_allowed", "Your role does not allow this.")
    if caller.subject is None and needs_subject(role, may):
        raise _forbidden(request, caller, "subject", "subject_required", SUBJECT_REQUIRED)
    return caller


def count_asked(request: web.Request, caller: Caller) -> None:
    """Count that an organisation has something done. Raises a 429 problem where it does so too often.

    Meta's limits for the app and what Kafka keeps are shared by all organisations.
    """
    wait = request.app[VERIFIER].asked.note(caller.org_id, time.monotonic())
    if wait is not None:
        detail = f"Your organisation may ask for {ASKED_A_MINUTE} things a minute. Please try again in a moment."
        raise too_many_requests(detail, wait)


def subject_of(caller: Caller) -> str:
    """Who calls, as a person. Raises a 403 problem where the token does not say."""
    if caller.subject is None:
        raise Problem(403, "subject_required", "Not allowed", SUBJECT_REQUIRED)
    return caller.subject


def is_name(claim: object, longest: int) -> TypeGuard[str]:
    """Whether a claim is text of 1 to `longest` characters that JSON, Kafka's headers and PostgreSQL can hold.

    What is printable has no NUL and no other control character, and no half of a surrogate pair.
    """
    return isinstance(claim, str) and 0 < len(claim) <= longest and claim.isprintable() and not claim.isspace()


def is_moment(claim: object) -> bool:
    """Whether a claim is a NumericDate (RFC 7519, section 2) that a calendar has: no text that shows a number."""
    return isinstance(claim, int | float) and not isinstance(claim, bool) and 0 <= claim <= LATEST


def make_token(
    settings: AuthSettings, *, org_id: str, role: str, now: datetime, lifetime: timedelta, subject: str | None = None
) -> str:
    """A token for local use and tests, signed with `JWT_SECRET`."""
    if settings.jwt_secret is None:
        raise ValueError("tokens are made by your identity provider: JWT_SECRET is not set")
    claims = {"orgId": org_id, "role": role, "sub": subject or f"wabus-cli:{role}", "iat": now, "exp": now + lifetime}
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    return jwt.encode(cast(dict[str, Any], claims), settings.jwt_secret.get_secret_value(), algorithm="HS256")


def _log_refused(request: web.Request, error: jwt.PyJWTError) -> None:
    source, reason = request.remote or "unknown", type(error).__name__
    request.app[VERIFIER].log_refused("token", source, action="token_refused", reason=reason, source=source)


def _forbidden(request: web.Request, caller: Caller, reason: str, code: str, detail: str) -> Problem:
    about = {"org_id": caller.org_id, "subject": caller.subject}
    request.app[VERIFIER].log_refused(reason, f"organisation {caller.org_id}", action=code, **about)
    return Problem(403, code, "Not allowed", detail)


def _unauthorised(detail: str, challenge: str) -> Problem:
    return Problem(401, "unauthorised", "Not signed in", detail, headers={"WWW-Authenticate": challenge})
