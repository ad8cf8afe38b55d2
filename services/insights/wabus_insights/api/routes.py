"""The addresses of the API and what stands behind each, as `/openapi.json` describes them."""

from aiohttp import web
from wabus_runtime.http.openapi import Operation

TAG = "insights"

OPERATIONS: tuple[Operation, ...] = ()


def add_routes(app: web.Application) -> None:
    """Let an application answer them."""
