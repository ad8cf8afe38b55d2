"""Tokens signed by an identity provider: keys from its JWKS, cached, rotated, and every trick refused."""

import hmac
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode
from wabus_runtime.auth import VERIFIER, Verifier, authenticate, require_admin
from wabus_runtime.http import json_response, problems
from wabus_runtime.settings import AuthSettings

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Provider:
    """An identity provider that publishes its keys over real HTTP, and counts how often it was asked."""

    keys: dict[str, Key] = field(default_factory=dict[str, Key])
    asked: int = 0
    url: str = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/jwks.json", self._jwks)
        return app

    async def _jwks(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"keys": [self._public(key_id, key) for key_id, key in self.keys.items()]})

    def _public(self, key_id: str, key: Key) -> dict[str, Any]:
        if isinstance(key, rsa.RSAPrivateKey):
            return {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": key_id, "alg": "RS256"}
        return {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": key_id, "alg": "ES256"}

    def token(self, key_id: str, **changes: Any) -> str:
        key = self.keys[key_id]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        claims = {
            "orgId": "demo",
            "role": "admin",
            "aud": "wabus",
            "iss": "https://id.example",
            "exp": time.time() + 60,
        }
        return jwt.encode({**claims, **changes}, key, algorithm=algorithm, headers={"kid": key_id})


@pytest.fixture
async def provider(serve: Serve) -> Provider:
    provider = Provider({"rsa": rsa.generate_private_key(65537, 2048), "ec": ec.generate_private_key(ec.SECP256R1())})
    provider.url = str((await serve(provider.app())).make_url("/jwks.json"))
    return provider


@pytest.fixture
async def api(provider: Provider, serve: Serve) -> Client:
    async def who(request: web.Request) -> web.Response:
        caller = await authenticate(request)
        return json_response({"org_id": caller.org_id, "role": caller.role})

    async def admin(request: web.Request) -> web.Response:
        await require_admin(request)
        return json_response({})

    app = web.Application(middlewares=[problems])
    fields = {"jwt_jwks_url": provider.url, "jwt_audience": "wabus", "jwt_issuer": "https://id.example"}
    app[VERIFIER] = Verifier(AuthSettings.model_validate(fields), refetch_after=0)
    app.router.add_get("/who", who)
    app.router.add_get("/admin", admin)
    return await serve(app)


async def status(api: Client, token: str, path: str = "/who") -> int:
    return (await api.get(path, headers={"Authorization": f"Bearer {token}"})).status


@pytest.mark.parametrize("key_id", ["rsa", "ec"])
async def test_a_token_of_the_provider_is_accepted_and_its_keys_are_cached(
    api: Client, provider: Provider, key_id: str
) -> None:
    for _ in range(5):
        assert await status(api, provider.token(key_id)) == 200
    assert provider.asked == 1


async def test_a_rotated_key_is_fetched_when_it_first_appears(api: Client, provider: Provider) -> None:
    assert await status(api, provider.token("rsa")) == 200
    provider.keys["new"] = rsa.generate_private_key(65537, 2048)
    assert await status(api, provider.token("new")) == 200
    assert provider.asked == 2


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"orgId": ""},
        {"orgId": None},
        {"orgId": {"$ne": ""}},
        {"orgId": ["demo"]},
        {"role": ["admin"]},
    ],
)
async def test_a_claim_that_will_not_do_is_refused(api: Client, provider: Provider, claims: dict[str, Any]) -> None:
    assert await status(api, provider.token("rsa", **claims)) == 401


async def test_the_public_key_as_a_shared_secret_opens_nothing(api: Client, provider: Provider) -> None:
    key = provider.keys["rsa"]
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    payload = provider.token("rsa").split(".")[1]
    header = base64url_encode(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "rsa"}).encode()).decode()
    signature = hmac.digest(public, f"{header}.{payload}".encode(), "sha256")
    assert await status(api, f"{header}.{payload}.{base64url_encode(signature).decode()}") == 401


async def test_an_unsigned_token_and_an_unknown_key_are_refused(api: Client, provider: Provider) -> None:
    claims = {"orgId": "demo", "role": "admin", "aud": "wabus", "iss": "https://id.example", "exp": time.time() + 60}
    assert await status(api, jwt.encode(claims, "", algorithm="none", headers={"kid": "rsa"})) == 401
    stranger = rsa.generate_private_key(65537, 2048)
    assert await status(api, jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": "rsa"})) == 401
    assert await status(api, jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": "unknown"})) == 401
    assert await status(api, jwt.encode(claims, stranger, algorithm="RS256")) == 401


async def test_only_the_role_admin_is_an_administrator(api: Client, provider: Provider) -> None:
    assert await status(api, provider.token("rsa"), "/admin") == 200
    assert await status(api, provider.token("rsa", role="member"), "/admin") == 403
    assert await status(api, provider.token("rsa", role="Admin"), "/admin") == 403
    assert await status(api, "", "/admin") == 401


async def test_a_key_that_the_provider_has_withdrawn_opens_nothing(api: Client, provider: Provider) -> None:
    token = provider.token("rsa")
    provider.keys.clear()
    assert await status(api, token) == 401


async def test_a_provider_that_is_away_is_no_reason_to_sign_in_again(serve: Serve, provider: Provider) -> None:
    async def who(request: web.Request) -> web.Response:
        return json_response({"org_id": (await authenticate(request)).org_id})

    app = web.Application(middlewares=[problems])
    app[VERIFIER] = Verifier(AuthSettings.model_validate({"jwt_jwks_url": "http://127.0.0.1:9/jwks.json"}))
    app.router.add_get("/who", who)
    assert await status(await serve(app), provider.token("rsa")) == 503
