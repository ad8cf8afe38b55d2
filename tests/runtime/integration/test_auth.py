"""Tokens signed by an identity provider: keys from its JWKS, cached, rotated, and every trick refused."""

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode
from structlog.testing import capture_logs
from wabus_runtime.http.answers import json_response, problems
from wabus_runtime.http.auth import LOGGED_A_MINUTE, VERIFIER, Verifier, authenticate, authorise
from wabus_runtime.http.jwks import JwksTimes
from wabus_runtime.settings import AuthSettings
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
ADMINISTRATORS_ONLY = "/contacts/1/export"
"""What the table of roles has for them alone."""
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Provider:
    """An identity provider that publishes its keys over real HTTP, and counts how often it was asked."""

    keys: dict[str, Key] = field(default_factory=dict[str, Key])
    asked: int = 0
    url: str = ""
    others: list[Any] = field(default_factory=list[Any])
    """What else its key set holds."""
    answer: web.Response | None = None
    """What it says instead of its keys."""
    silent: asyncio.Event | None = None
    """It says nothing until this is set."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/jwks.json", self._jwks)
        return app

    async def _jwks(self, _request: web.Request) -> web.Response:
        self.asked += 1
        self.reached.set()
        if self.silent:
            await self.silent.wait()
        if self.answer:
            return web.Response(status=self.answer.status, body=self.answer.body, headers=self.answer.headers)
        keys = [self._public(key_id, key) for key_id, key in self.keys.items()]
        return web.json_response({"keys": [*self.others, *keys]})

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
        await authorise(request)
        return json_response({})

    app = web.Application(middlewares=[problems])
    fields = {"jwt_jwks_url": provider.url, "jwt_audience": "wabus", "jwt_issuer": "https://id.example"}
    app[VERIFIER] = Verifier(AuthSettings.model_validate(fields), JwksTimes(refetch_after=0))
    app.router.add_get("/who", who)
    app.router.add_get("/contacts/{contact_id}/export", admin)
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
    assert await status(api, provider.token("rsa"), ADMINISTRATORS_ONLY) == 200
    assert await status(api, provider.token("rsa", role="member"), ADMINISTRATORS_ONLY) == 403
    assert await status(api, provider.token("rsa", role="Admin"), ADMINISTRATORS_ONLY) == 403
    assert await status(api, "", ADMINISTRATORS_ONLY) == 401


async def test_who_was_refused_is_logged_without_the_token(api: Client, provider: Provider) -> None:
    forged, old = provider.token("rsa", iss="https://evil.example"), provider.token("rsa", exp=1)
    with capture_logs() as logged:
        assert [await status(api, token) for token in (forged, old)] == [401, 401]
        assert await status(api, provider.token("rsa", role="member", sub="u-7"), ADMINISTRATORS_ONLY) == 403
    names = ("action", "reason", "org_id", "subject")
    told = [{name: line.get(name) for name in names} for line in logged if line["log_level"] == "warning"]
    refused = {"action": "token_refused", "org_id": None, "subject": None}
    assert told == [
        {**refused, "reason": "InvalidIssuerError"},
        {**refused, "reason": "ExpiredSignatureError"},
        {"action": "admin_required", "reason": None, "org_id": "demo", "subject": "u-7"},
    ]
    assert not [token for token in (forged, old) if token in str(logged)]


async def test_a_key_that_the_provider_has_withdrawn_opens_nothing(api: Client, provider: Provider) -> None:
    token = provider.token("rsa")
    provider.keys.clear()
    assert await status(api, token) == 401


async def test_a_key_signs_only_with_the_algorithm_that_it_is_for(api: Client, provider: Provider) -> None:
    claims = {"orgId": "demo", "role": "admin", "aud": "wabus", "iss": "https://id.example", "exp": time.time() + 60}
    token = jwt.encode(claims, provider.keys["rsa"], algorithm="PS256", headers={"kid": "rsa"})
    assert await status(api, token) == 401
    assert await status(api, jwt.encode(claims, provider.keys["rsa"], algorithm="RS256", headers={"kid": "ec"})) == 401


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
async def test_a_key_whose_algorithm_the_provider_does_not_tell_takes_no_token_of_another_kind(
    api: Client, provider: Provider, algorithm: str
) -> None:
    def untold(key_id: str, public: str) -> dict[str, Any]:
        return {name: value for name, value in json.loads(public).items() if name != "alg"} | {"kid": key_id}

    edwards = ed25519.Ed25519PrivateKey.generate()
    provider.others = [
        untold("an RSA key", RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key())),
        untold("an EC key", ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())),
        untold("an EdDSA key", OKPAlgorithm.to_jwk(edwards.public_key())),
    ]
    _, payload, signature = provider.token("rsa").split(".")
    for kid in ("an RSA key", "an EC key", "an EdDSA key"):
        header = base64url_encode(json.dumps({"alg": algorithm, "kid": kid}).encode()).decode()
        assert await status(api, f"{header}.{payload}.{signature}") == 401


async def test_an_rsa_key_that_is_too_short_opens_nothing(api: Client, provider: Provider) -> None:
    provider.keys["short"] = rsa.generate_private_key(65537, 1024)
    assert await status(api, provider.token("short")) == 401
    assert await status(api, provider.token("rsa")) == 200


async def test_keys_that_are_not_for_signatures_are_left_out_and_take_no_other_with_them(
    api: Client, provider: Provider
) -> None:
    public = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key()))
    secret = "a-shared-secret-that-somebody-published-by-mistake"
    shared = {"kty": "oct", "kid": "oct", "k": base64url_encode(secret.encode()).decode()}
    broken = [{"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"}, {"kty": ["RSA"], "kid": "list"}, "no key", None]
    curious = [{**public, "kid": "none", "alg": "none"}, {**public, "kid": "e", "use": "enc"}, {**public, "kid": 7}]
    provider.others = [shared, *broken, *curious]

    assert await status(api, provider.token("rsa")) == 200
    claims = {"orgId": "demo", "role": "admin", "aud": "wabus", "iss": "https://id.example", "exp": time.time() + 60}
    for algorithm in ("HS256", "HS384"):
        assert await status(api, jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": "oct"})) == 401
    for kid in ("none", "e", "7", "broken"):
        token = jwt.encode(claims, rsa.generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": kid})
        assert await status(api, token) == 401


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"RS256","kid":"../../../../dev/null"}',
        b'{"alg":"RS256","kid":["rsa"]}',
        b'{"alg":"RS256","kid":"rsa","jku":"http://127.0.0.1:9/","jwk":{"kty":"RSA"},"x5u":"http://127.0.0.1:9/"}',
        b'{"alg":["RS256"],"kid":"rsa"}',
        b'{"alg":null,"kid":"rsa"}',
        b'{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}',
        b'{"alg":"RS256","kid":"rsa","crit":["exp"]}',
        b'{"alg":' + b"[" * 5000,
        b"\xff\xfe",
        b"[]",
    ],
)
async def test_no_trick_in_the_header_of_a_token_gets_in(api: Client, provider: Provider, header: bytes) -> None:
    _, payload, signature = provider.token("rsa").split(".")
    assert await status(api, f"{base64url_encode(header).decode()}.{payload}.{signature}") == 401


async def test_a_signed_token_with_an_extension_that_we_do_not_know_is_refused(api: Client, provider: Provider) -> None:
    claims = {"orgId": "demo", "role": "admin", "aud": "wabus", "iss": "https://id.example", "exp": time.time() + 60}
    headers = {"kid": "rsa", "crit": ["urn:example:proof"], "urn:example:proof": "x"}
    assert await status(api, jwt.encode(claims, provider.keys["rsa"], algorithm="RS256", headers=headers)) == 401


@pytest.mark.parametrize(
    "exp", [float("inf"), float("nan"), "soon", [1], "4000000000", "٤٠٠٠٠٠٠٠٠٠", 1e308, 10**12, 10**400, True, -1]
)
async def test_an_end_that_is_no_time_is_refused(api: Client, provider: Provider, exp: Any) -> None:
    assert await status(api, provider.token("rsa", exp=exp)) == 401


@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize("value", ["1", "١", False, -1, None])
async def test_no_time_of_a_token_is_text_that_shows_one(
    api: Client, provider: Provider, name: str, value: Any
) -> None:
    assert await status(api, provider.token("rsa", **{name: value})) == 401
    assert await status(api, provider.token("rsa", **{name: 1.5})) == 200


async def test_who_sends_bad_tokens_again_and_again_fills_no_log(api: Client, provider: Provider) -> None:
    old, member = provider.token("rsa", exp=1), provider.token("rsa", role="member", sub="u-7")
    with capture_logs() as logged:
        for _ in range(150):
            assert await status(api, old) == 401
            assert await status(api, member, ADMINISTRATORS_ONLY) == 403
    for action in ("token_refused", "admin_required"):
        assert LOGGED_A_MINUTE <= sum(line["action"] == action for line in logged) <= LOGGED_A_MINUTE + 10


@pytest.mark.parametrize("org_id", ["demo\x00", "de\nmo", "d" * 201, "\u202edemo"])
async def test_a_name_that_no_store_can_hold_is_no_organisation(api: Client, provider: Provider, org_id: str) -> None:
    assert await status(api, provider.token("rsa", orgId=org_id)) == 401


@pytest.mark.parametrize("subject", ["u\x00", "\ud800", "u\n7", "", " ", "u" * 256, "\u202eu", None, 7, ["u"]])
async def test_a_subject_that_no_store_can_hold_is_nobody(api: Client, provider: Provider, subject: Any) -> None:
    assert await status(api, provider.token("rsa", sub=subject)) == 401


@pytest.mark.parametrize("subject", ["auth0|5f7c", "Zoë of acme", "u" * 255, "😀"])
async def test_a_subject_may_be_any_text_that_people_can_read(api: Client, provider: Provider, subject: str) -> None:
    assert await status(api, provider.token("rsa", sub=subject)) == 200


async def test_of_two_tokens_none_counts(api: Client, provider: Provider) -> None:
    headers = [("Authorization", f"Bearer {provider.token('rsa')}"), ("Authorization", "Bearer x")]
    for both in (headers, headers[::-1]):
        assert (await api.get("/who", headers=both)).status == 401


async def test_bytes_that_are_no_text_are_no_token(api: Client) -> None:
    host, port = api.server.host, api.server.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer \xff\xfe.\xff.\xff\r\n\r\n"
    )
    assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_many_who_wait_for_the_keys_ask_once(api: Client, provider: Provider) -> None:
    provider.silent = asyncio.Event()
    asking = [asyncio.create_task(status(api, provider.token("rsa"))) for _ in range(20)]
    await provider.reached.wait()
    provider.silent.set()
    assert set(await asyncio.gather(*asking)) == {200}
    assert provider.asked == 1


async def test_keys_never_seen_do_not_make_us_ask_again_and_again(serve: Serve, provider: Provider) -> None:
    api = await serve(guarded(provider.url))
    stranger = rsa.generate_private_key(65537, 2048)
    for kid in range(10):
        token = jwt.encode({"exp": time.time() + 60}, stranger, algorithm="RS256", headers={"kid": str(kid)})
        assert await status(api, token) == 401
    assert provider.asked == 1


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(status=302, headers={"Location": "/jwks.json"}),
        web.Response(text="<html>"),
        web.Response(text="[]"),
        web.Response(text='{"keys": 1}'),
        web.Response(text='{"keys": [' + "{}," * 200_000 + "{}]}"),
        web.Response(text="[" * 200_000),
    ],
    ids=["500", "redirect", "html", "list", "number", "huge", "nested"],
)
async def test_an_answer_that_is_no_key_set_is_no_reason_to_sign_in_again(
    serve: Serve, provider: Provider, answer: web.Response
) -> None:
    provider.answer = answer
    api = await serve(guarded(provider.url))
    assert [await status(api, provider.token("rsa")) for _ in range(2)] == [503, 503]
    assert provider.asked == 1


async def test_a_provider_that_never_answers_is_given_up(serve: Serve, provider: Provider) -> None:
    provider.silent = asyncio.Event()
    api = await serve(guarded(provider.url, JwksTimes(timeout=0.1)))
    assert await status(api, provider.token("rsa")) == 503
    provider.silent.set()


async def test_known_keys_go_on_for_a_while_when_the_provider_is_away(
    serve: Serve, provider: Provider, eventually: Eventually
) -> None:
    always_old = JwksTimes(lifespan=0, refetch_after=0)
    api = await serve(guarded(provider.url, always_old))
    strict = await serve(guarded(provider.url, replace(always_old, kept_while_away=0.5)))
    assert [await status(each, provider.token("rsa")) for each in (api, strict)] == [200, 200]
    provider.answer = web.Response(status=502)
    asked = provider.asked
    assert await status(api, provider.token("rsa")) == 200
    assert provider.asked > asked

    async def given_up() -> bool:
        return await status(strict, provider.token("rsa")) == 503

    await eventually(given_up)


async def test_a_withdrawn_key_is_forgotten_when_its_time_is_over(serve: Serve, provider: Provider) -> None:
    api = await serve(guarded(provider.url, JwksTimes(lifespan=0, refetch_after=0)))
    token = provider.token("rsa")
    assert await status(api, token) == 200
    del provider.keys["rsa"]
    assert await status(api, token) == 401


async def test_a_provider_that_is_away_is_no_reason_to_sign_in_again(serve: Serve, provider: Provider) -> None:
    assert await status(await serve(guarded("http://127.0.0.1:9/jwks.json")), provider.token("rsa")) == 503


def guarded(url: str, times: JwksTimes | None = None) -> web.Application:
    async def who(request: web.Request) -> web.Response:
        return json_response({"org_id": (await authenticate(request)).org_id})

    app = web.Application(middlewares=[problems])
    app[VERIFIER] = Verifier(AuthSettings.model_validate({"jwt_jwks_url": url}), times)
    app.router.add_get("/who", who)
    return app
