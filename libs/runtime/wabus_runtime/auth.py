"""Who is calling: a JWT (RFC 7519) with `orgId` and `role`, signed with a shared secret or a key of a JWKS."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

import jwt
from aiohttp import web
from jwt import PyJWKClient

from wabus_runtime.http import Problem
from wabus_runtime.settings import AuthSettings

Role = Literal["admin", "member"]
ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
JWKS_LIFESPAN = 300  # seconds until keys are fetched again, and a withdrawn one is forgotten
JWKS_TIMEOUT = 5  # seconds
LEEWAY = 30  # seconds between our clock and the issuer's

VERIFIER: web.AppKey["Verifier"] = web.AppKey("verifier")


@dataclass(frozen=True, slots=True)
class Caller:
    """The organisation every query is limited to, and what the caller may do in it."""

    org_id: str
    role: str
    subject: str | None


class Verifier:
    """Checks tokens as `AuthSettings` say: HS256 with `JWT_SECRET`, or asymmetric keys from `JWT_JWKS_URL`."""

    def __init__(self, settings: AuthSettings, *, refetch_after: float = 10) -> None:
        """A key id never seen fetches the JWKS anew, but not twice within `refetch_after` seconds."""
        self._settings = settings
        # Single keys are not cached: the client would keep a withdrawn one for ever.
        self._keys = (
            PyJWKClient(
                settings.jwt_jwks_url, lifespan=JWKS_LIFESPAN, timeout=JWKS_TIMEOUT, cooldown_duration=refetch_after
            )
            if settings.jwt_jwks_url
            else None
        )

    async def caller(self, token: str) -> Caller:
        """Raises `jwt.PyJWTError` when the token is not good, whatever the reason."""
        kind = jwt.get_unverified_header(token).get("alg")
        key: Any
        if kind == "HS256" and self._settings.jwt_secret:
            key, algorithms = self._settings.jwt_secret.get_secret_value(), ["HS256"]
        elif kind in ASYMMETRIC and self._keys:
            # The client fetches over blocking HTTP when it meets a key id it does not know.
            key, algorithms = (await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)).key, ASYMMETRIC
        else:
            raise jwt.InvalidAlgorithmError("this algorithm is not accepted here")
        claims = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            audience=self._settings.jwt_audience,
            issuer=self._settings.jwt_issuer,
            leeway=LEEWAY,
            options={"require": ["exp"], "verify_aud": self._settings.jwt_audience is not None},
        )
        org_id, role = claims.get("orgId"), claims.get("role", "member")
        if not isinstance(org_id, str) or not org_id or not isinstance(role, str):
            raise jwt.InvalidTokenError("the token names no organisation")
        return Caller(org_id, role, claims.get("sub"))


async def authenticate(request: web.Request) -> Caller:
    """The caller, from `Authorization: Bearer …`. Raises a 401 problem (RFC 6750)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorised("Please sign in: this needs a bearer token.", "Bearer")
    try:
        return await request.app[VERIFIER].caller(token.strip())
    except jwt.ExpiredSignatureError:
        raise _unauthorised("Your session has expired. Please sign in again.", 'Bearer error="invalid_token"') from None
    except jwt.PyJWKClientConnectionError:
        raise Problem(
            503,
            "identity_unavailable",
            "Temporarily unavailable",
            "Your sign-in can't be checked right now. Please try again in a moment.",
            headers={"Retry-After": "5"},
        ) from None
    except jwt.PyJWTError:
        raise _unauthorised("This token is not accepted here.", 'Bearer error="invalid_token"') from None


async def require_admin(request: web.Request) -> Caller:
    """The caller, who must be an administrator of the organisation. Raises a 401 or 403 problem."""
    caller = await authenticate(request)
    if caller.role != "admin":
        raise Problem(403, "admin_required", "Not allowed", "Only an administrator of your organisation may do this.")
    return caller


def make_token(settings: AuthSettings, *, org_id: str, role: str, now: datetime, lifetime: timedelta) -> str:
    """A token for local use and tests, signed with `JWT_SECRET`."""
    if settings.jwt_secret is None:
        raise ValueError("tokens are made by your identity provider: JWT_SECRET is not set")
    claims = {"orgId": org_id, "role": role, "sub": f"wabus-cli:{role}", "iat": now, "exp": now + lifetime}
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    return jwt.encode(cast(dict[str, Any], claims), settings.jwt_secret.get_secret_value(), algorithm="HS256")


def _unauthorised(detail: str, challenge: str) -> Problem:
    return Problem(401, "unauthorised", "Not signed in", detail, headers={"WWW-Authenticate": challenge})
