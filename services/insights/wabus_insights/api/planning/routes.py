"""The addresses of planning and what stands behind each, as `/openapi.json` describes them."""

from aiohttp import web
from wabus_runtime.http.headers import IF_MATCH
from wabus_runtime.http.openapi import Operation, route

from wabus_insights.api.planning.advice import AdviceApi
from wabus_insights.api.planning.budgets import BudgetsApi
from wabus_insights.api.planning.costs import PlannedCostsApi
from wabus_insights.api.planning.models import (
    AdvicePath,
    AdviceQuery,
    AdvicesView,
    BudgetsQuery,
    BudgetsView,
    Dismissal,
    Dismissed,
    ForecastQuery,
    ForecastsView,
    NewBudgets,
    Pending,
    ReconciliationQuery,
    ReconciliationView,
)

TAG = "insights"
BODY = (400, 403, 408, 413, 415, 422, 429)

BUDGETS = Operation(
    "GET", "/budgets", "Your budgets, and how each stands", TAG, {200: BudgetsView}, (403, 422), query=BudgetsQuery
)
SET_BUDGETS = Operation(
    "PUT", "/budgets", "Let these be your budgets, and no others (administrators only)", TAG,
    {200: BudgetsView, 202: Pending}, (*BODY, 404, 409, 412), body=NewBudgets, headers=IF_MATCH,
)  # fmt: skip
FORECAST = Operation(
    "GET", "/costs/forecast", "What a month will have cost when it is over", TAG,
    {200: ForecastsView}, (403, 404, 422), query=ForecastQuery,
)  # fmt: skip
RECONCILIATION = Operation(
    "GET", "/costs/reconciliation", "What Meta says that messages cost beside our own count, and why they differ", TAG,
    {200: ReconciliationView}, (403, 404, 422), query=ReconciliationQuery,
)  # fmt: skip
ADVICE = Operation(
    "GET", "/advice", "What you might do otherwise, and what it would save", TAG,
    {200: AdvicesView}, (403, 422), query=AdviceQuery,
)  # fmt: skip
DISMISS = Operation(
    "POST", "/advice/{advice_id}/dismiss", "Don't be given a piece of advice any more (administrators only)", TAG,
    {200: Dismissed, 202: Dismissed}, (*BODY, 404), path_parameters=AdvicePath, body=Dismissal, body_required=False,
)  # fmt: skip

OPERATIONS = (BUDGETS, SET_BUDGETS, FORECAST, RECONCILIATION, ADVICE, DISMISS)


def add_routes(app: web.Application, budgets: BudgetsApi, costs: PlannedCostsApi, advice: AdviceApi) -> None:
    """Let an application answer them."""
    handlers = (
        (BUDGETS, budgets.show),
        (SET_BUDGETS, budgets.choose),
        (FORECAST, costs.forecast),
        (RECONCILIATION, costs.reconciliation),
        (ADVICE, advice.show),
        (DISMISS, advice.dismiss),
    )
    route(app, handlers)
