"""Fields that Graph refuses cost what they would tell, and no more; a real HTTP server plays a Graph that is picky."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from wabus_runtime.graph.client import Graph, GraphSettings
from wabus_runtime.graph.fields import read
from wabus_runtime.graph.limits import REFUSED_FOR, RefusedFields
from wabus_whatsapp.graph_errors import FieldUnknown, PermissionLost, TokenExpired

TOKEN = SecretStr("EAAG-a-token")
NODE = {"id": "1", "currency": "EUR", "country": "DE", "timezone_id": "47"}


@dataclass
class Picky:
    """Graph with one account and one list of numbers. `refusals` are the errors for asking for a field."""

    settings: GraphSettings = field(default_factory=GraphSettings.model_construct)
    refusals: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    asked: list[list[str]] = field(default_factory=list[list[str]])

    async def answer(self, request: web.Request) -> web.Response:
        names = request.query["fields"].split(",")
        self.asked.append(names)
        for name in names:
            if name in self.refusals:
                return web.json_response({"error": self.refusals[name]}, status=400)
        if request.path.endswith("/phone_numbers"):
            numbers = [{"id": number} | {name: f"{name} of {number}" for name in names} for number in ("7", "8")]
            return web.json_response({"data": [{**each, "id": each["id"][-1]} for each in numbers]})
        return web.json_response({name: NODE[name] for name in names if name in NODE})

    async def read(self, graph: Graph, *optional: str, path: str = "1") -> dict[str, Any]:
        return await read(graph, path, TOKEN, kind="account", needed=("id",), optional=optional)


def unknown(name: str) -> dict[str, Any]:
    message = f"(#100) Tried accessing nonexisting field ({name}) on node type (WhatsAppBusinessAccount)"
    return {"message": message, "code": 100}


FORBIDDEN = {"message": "(#200) Requires business_management permission to manage the object", "code": 200}
TOO_MUCH = {"message": "Please reduce the amount of data you're asking for, then retry your request", "code": 1}


@pytest.fixture
async def picky() -> AsyncIterator[Picky]:
    picky = Picky()
    app = web.Application()
    app.router.add_get("/{path:.*}", picky.answer)
    async with TestServer(app) as server:
        picky.settings = GraphSettings.model_construct(
            meta_app_id="1",
            meta_app_secrets=(SecretStr("secret"),),
            meta_graph_url=str(server.make_url("")).rstrip("/"),
            meta_graph_version="v23.0",
            graph_timeout=5,
            graph_rate_limit_wait=0,
        )
        yield picky


async def test_all_fields_come_in_one_call_where_graph_has_them(picky: Picky) -> None:
    async with Graph(picky.settings) as graph:
        assert await picky.read(graph, "currency", "country") == {"id": "1", "currency": "EUR", "country": "DE"}
    assert picky.asked == [["id", "currency", "country"]]


async def test_a_check_fails_wholly_because_one_field_was_retired(picky: Picky) -> None:
    picky.refusals = {"country": unknown("country"), "timezone_id": unknown("timezone_id")}
    async with Graph(picky.settings) as graph:
        assert await picky.read(graph, "currency", "country", "timezone_id") == {"id": "1", "currency": "EUR"}
        assert len(picky.asked) == 3
        # Of another account too: the version has no such field.
        await picky.read(graph, "currency", "country", "timezone_id", path="2")
    assert picky.asked[3:] == [["id", "currency"]]


@pytest.mark.parametrize("refusal", [FORBIDDEN, TOO_MUCH, {"message": "(#100) Invalid parameter", "code": 100}])
async def test_a_field_that_this_token_may_not_read_costs_the_others_nothing(
    picky: Picky, refusal: dict[str, Any]
) -> None:
    picky.refusals = {"country": refusal}
    async with Graph(picky.settings) as graph:
        assert await picky.read(graph, "currency", "country") == {"id": "1", "currency": "EUR"}
        assert picky.asked == [["id", "currency", "country"], ["id"], ["id", "currency"], ["id", "country"]]
        assert await picky.read(graph, "currency", "country") == {"id": "1", "currency": "EUR"}
        assert picky.asked[4:] == [["id", "currency"]]
        picky.refusals.clear()
        assert await picky.read(graph, "country", path="2") == {"id": "1", "country": "DE"}


async def test_a_field_that_is_refused_for_a_list_is_missing_from_each_entry_and_nothing_else_is(picky: Picky) -> None:
    picky.refusals = {"health_status": TOO_MUCH}
    async with Graph(picky.settings) as graph:
        answer = await picky.read(graph, "status", "health_status", path="1/phone_numbers")
    assert answer["data"] == [{"id": "7", "status": "status of 7"}, {"id": "8", "status": "status of 8"}]


async def test_whoever_may_not_read_the_object_at_all_is_told_so(picky: Picky) -> None:
    picky.refusals = {"id": FORBIDDEN}
    async with Graph(picky.settings) as graph:
        with pytest.raises(PermissionLost):
            await picky.read(graph, "currency")
        picky.refusals = {"id": unknown("id")}
        with pytest.raises(FieldUnknown):
            await picky.read(graph, "currency")
        picky.refusals = {"id": {"message": "expired", "code": 190}}
        with pytest.raises(TokenExpired):
            await picky.read(graph, "currency")


def test_a_refused_field_is_asked_for_again_after_a_day() -> None:
    fields = RefusedFields()
    fields.unknown("account", "country", 0)
    fields.refused("account", "1", "currency", 0)
    assert fields.without("account", "1", ["country", "currency"], REFUSED_FOR - 1) == []
    assert fields.without("account", "2", ["country", "currency"], REFUSED_FOR - 1) == ["currency"]
    assert fields.without("number", "1", ["country", "currency"], 1) == ["country", "currency"]
    assert fields.without("account", "1", ["country", "currency"], REFUSED_FOR) == ["country", "currency"]
