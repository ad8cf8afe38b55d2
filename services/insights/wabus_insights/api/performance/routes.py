"""The addresses of what templates achieve."""

from aiohttp import web
from wabus_runtime.http.formats.csv_answers import ABOUT
from wabus_runtime.http.openapi import Operation, route

from wabus_insights.api.performance.enabling import EnablingApi
from wabus_insights.api.performance.failing import FailingApi
from wabus_insights.api.performance.listing import ListApi
from wabus_insights.api.performance.models import (
    AllFailuresView,
    Enabled,
    EnableRequest,
    FailuresView,
    PeriodQuery,
    TemplatePath,
    TemplatePerformance,
    TemplateQuery,
    TemplatesQuery,
    TemplatesView,
)
from wabus_insights.api.performance.templates import TemplatesApi

TAG = "performance"
ONE_PATH = "/performance/templates/{template_id}"

ALL = Operation(
    "GET", "/performance/templates", f"What each template achieves. {ABOUT}", TAG, {200: TemplatesView}, (422,),
    query=TemplatesQuery,
)  # fmt: skip
ONE = Operation(
    "GET", ONE_PATH, f"What one template achieves, by hour, day, version, number or country. {ABOUT}", TAG,
    {200: TemplatePerformance}, (404, 422), path_parameters=TemplatePath, query=TemplateQuery,
)  # fmt: skip
FAILURES = Operation(
    "GET", f"{ONE_PATH}/failures", f"Why messages of a template failed, and what to do. {ABOUT}", TAG,
    {200: FailuresView}, (404, 422), path_parameters=TemplatePath, query=PeriodQuery,
)  # fmt: skip

ALL_FAILURES = Operation(
    "GET", "/performance/failures", f"Why messages of all templates failed, and what to do. {ABOUT}", TAG,
    {200: AllFailuresView}, (422,), query=PeriodQuery,
)  # fmt: skip

ENABLE = Operation(
    "POST", "/performance/enable", "Have Meta itself count, which can't be undone (administrators only)", TAG,
    {200: Enabled, 202: Enabled}, (400, 403, 404, 408, 409, 413, 415, 422, 429), body=EnableRequest,
)  # fmt: skip

OPERATIONS = (ALL, ONE, FAILURES, ALL_FAILURES, ENABLE)


def add_routes(app: web.Application, listed: ListApi, api: TemplatesApi, failing: FailingApi) -> None:
    """Route every operation."""
    route(app, ((ALL, listed.all), (ONE, api.one), (FAILURES, api.failures), (ALL_FAILURES, failing.all)))


def add_enabling(app: web.Application, api: EnablingApi) -> None:
    """Route what publishes."""
    route(app, ((ENABLE, api.enable),))
