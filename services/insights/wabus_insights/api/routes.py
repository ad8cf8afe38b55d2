"""The addresses of the API and what stands behind each, as `/openapi.json` describes them."""

from collections.abc import Callable

import asyncpg
from aiohttp import web
from wabus_runtime.directory.directory import Directory
from wabus_runtime.http.openapi import Operation

from wabus_insights.api.costs import routes as costs
from wabus_insights.api.costs.costs import CostsApi
from wabus_insights.api.costs.rates import RatesApi
from wabus_insights.api.experiments import routes as experiments
from wabus_insights.api.performance import routes as performance
from wabus_insights.api.performance.failing import FailingApi
from wabus_insights.api.performance.listing import ListApi
from wabus_insights.api.performance.templates import TemplatesApi
from wabus_insights.api.planning import routes as planning

OPERATIONS: tuple[Operation, ...] = (
    *performance.OPERATIONS,
    *costs.OPERATIONS,
    *planning.OPERATIONS,
    *experiments.OPERATIONS,
)


def add_routes(app: web.Application, pool: Callable[[], asyncpg.Pool], directory: Directory, rebuilding: str) -> None:
    """Let an application answer them."""
    templates = TemplatesApi(pool, directory)
    performance.add_routes(app, ListApi(pool, directory, rebuilding), templates, FailingApi(pool, directory))
    costs.add_routes(app, CostsApi(pool, directory), RatesApi(pool))
