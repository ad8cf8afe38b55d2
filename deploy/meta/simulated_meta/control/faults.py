"""Control of what goes wrong at Graph, and a list of what was called."""

from dataclasses import fields
from typing import Any

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.faults import Failure, Faults, Limit

Json = dict[str, Any]


async def show_faults(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Latency, failures and limits now in force."""
    return meta.faults.as_json()


async def set_faults(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{latency_ms?, calls_an_hour?, fail?: {…}, rate_limit?: {…}}

    fail: {times, status?, code?, subcode?, message?, path?: part of it, method?, body?: json|html|truncated|empty|cut|
    half|hang, taken?: whether the call does its work all the same, share?: 1.0, seed?, seconds?: of hang};
    rate_limit: {waba_id?: all, calls_left?: 0, minutes?: 5, code?: 80008|80007|4}.
    """
    faults = meta.faults
    if "fail" in body:
        known = {field.name for field in fields(Failure)}
        if unknown := set(body["fail"]) - known:
            raise ValueError(f"fail knows {', '.join(sorted(known))}; not {', '.join(sorted(unknown))}")
        faults.failures.append(Failure(**({"times": 1} | body["fail"])))
    if "rate_limit" in body:
        wanted = body["rate_limit"]
        faults.limits[str(wanted.get("waba_id", "*"))] = Limit(
            int(wanted.get("calls_left", 0)), float(wanted.get("minutes", 5)), int(wanted.get("code", 80008))
        )
    faults.latency_ms = int(body.get("latency_ms", faults.latency_ms))
    faults.calls_an_hour = int(body.get("calls_an_hour", faults.calls_an_hour))
    return faults.as_json()


async def clear_faults(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Everything works again; the list of calls stays."""
    meta.faults = Faults(calls=meta.faults.calls)
    return meta.faults.as_json()


async def list_calls(meta: Meta, request: web.Request, _body: Json) -> Json:
    """The latest Graph calls: when, method, path, status. ?path= keeps those that contain it."""
    wanted = request.query.get("path", "")
    return {"data": [vars(call) for call in meta.faults.calls if wanted in call.path]}


ROUTES = (
    ("GET", "/faults", show_faults),
    ("POST", "/faults", set_faults),
    ("DELETE", "/faults", clear_faults),
    ("GET", "/calls", list_calls),
)
