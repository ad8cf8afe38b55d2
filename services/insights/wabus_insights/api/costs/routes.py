"""The addresses about costs and prices, and what stands behind each."""

from aiohttp import web
from wabus_runtime.http.openapi import Operation, route

from wabus_insights.api.costs.costs import CostsApi
from wabus_insights.api.costs.models import (
    CostsQuery,
    CostsView,
    EstimateRequest,
    EstimateView,
    RatesQuery,
    RatesView,
)
from wabus_insights.api.costs.rates import RatesApi

TAG = "insights"

COSTS = Operation(
    "GET", "/costs", "What messages cost, and how that is known; CSV where `text/csv` is accepted", TAG,
    {200: CostsView}, (403, 422), query=CostsQuery,
)  # fmt: skip
ESTIMATE = Operation(
    "POST", "/costs/estimate", "What messages to an audience would cost", TAG,
    {200: EstimateView}, (400, 403, 404, 408, 413, 415, 422), body=EstimateRequest,
)  # fmt: skip
RATES = Operation(
    "GET", "/rates", "Meta's rate cards and the rules by which they apply", TAG, {200: RatesView}, (403, 422),
    query=RatesQuery,
)  # fmt: skip

OPERATIONS = (COSTS, ESTIMATE, RATES)


def add_routes(app: web.Application, costs: CostsApi, rates: RatesApi) -> None:
    """Let an application answer them."""
    route(app, [(COSTS, costs.costs), (ESTIMATE, costs.estimate), (RATES, rates.rates)])
