"""The table of roles × routes is what every service does: each route of all, asked by each role."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestClient
from wabus_runtime.http.openapi import description, installed_operations
from wabus_runtime.http.roles import READERS, ROLES, ROUTES
from wabus_runtime.service.process import Service, build_app
from wabus_runtime.settings import AuthSettings, KafkaSettings, load

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

ID = "00000000-0000-0000-0000-000000000000"


def bearer(role: Any, subject: str | None = "u-7") -> dict[str, str]:
    """Of somebody with a role; None for a token that says nothing of it."""
    claims = {"orgId": "demo", "exp": datetime.now(UTC) + timedelta(minutes=10)}
    claims |= {name: value for name, value in (("role", role), ("sub", subject)) if value is not None}
    secret = load(AuthSettings).jwt_secret
    assert secret
    return {"Authorization": f"Bearer {jwt.encode(claims, secret.get_secret_value(), algorithm='HS256')}"}


async def asked(client: Client, route: str, headers: dict[str, str]) -> tuple[int, str | None]:
    """The status, and the code of a refusal for the role."""
    method, _, path = route.partition(" ")
    concrete = re.sub(r"{\w+}", ID, path)
    async with client.request(method, concrete, headers=headers, allow_redirects=False) as answer:
        if answer.status == 403:
            return 403, (await answer.json())["code"]
        return answer.status, None


def served() -> web.Application:
    services: list[Service] = [entry.load() for entry in sorted(entry_points(group="wabus.services"))]
    return build_app([(service, load(service.settings["api"])) for service in services], "api")


async def test_each_role_may_call_what_the_table_has_and_nothing_else(topics: KafkaSettings, serve: Serve) -> None:
    client = await serve(served())
    for route, may in ROUTES.items():
        assert (await asked(client, route, {}))[0] == 401, route
        for role in ROLES:
            status, code = await asked(client, route, bearer(role))
            if role in may:
                assert status not in (401, 403, 500), (route, role, status)
            else:
                assert (status, code) == (403, "admin_required" if may == {"admin"} else "role_not_allowed"), route


async def test_whoever_reads_what_customers_write_is_somebody_unless_it_is_a_program(
    topics: KafkaSettings, serve: Serve
) -> None:
    client = await serve(served())
    for route in (route for route, may in ROUTES.items() if may == READERS):
        assert await asked(client, route, bearer("agent", None)) == (403, "subject_required"), route
        assert (await asked(client, route, bearer("service", None)))[0] in (200, 404, 422, 426), route
    assert (await asked(client, "GET /webhook/health", bearer("agent", None)))[0] == 200


async def test_a_role_that_nobody_knows_is_a_member(topics: KafkaSettings, serve: Serve) -> None:
    client = await serve(served())
    for role in ("owner", "Agent", "ADMIN", "", None):
        assert (await asked(client, "GET /conversations", bearer(role)))[0] == 403, role
        assert (await asked(client, "GET /webhook/health", bearer(role)))[0] == 200, role


def test_every_operation_with_a_token_is_in_the_table_and_nothing_else_is() -> None:
    paths = description(installed_operations())["paths"]
    secured = {
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "security" in operation
    }
    assert secured == ROUTES.keys()
    told = {
        f"{method.upper()} {path}" for path, methods in paths.items() for method, operation in methods.items()
        if "403" in operation["responses"]
    }  # fmt: skip
    assert {route for route, may in ROUTES.items() if may != frozenset(ROLES)} <= told
