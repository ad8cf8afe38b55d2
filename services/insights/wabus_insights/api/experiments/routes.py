"""The addresses of the API of experiments, and what stands behind each."""

from aiohttp import web
from wabus_runtime.http.headers import IDEMPOTENCY_KEY, IF_NONE_MATCH
from wabus_runtime.http.openapi import Operation, route

from wabus_insights.api.experiments.experimenting import ExperimentsApi
from wabus_insights.api.experiments.models import (
    AssignRequest,
    AssignView,
    DecideRequest,
    ExperimentPath,
    ExperimentPending,
    ExperimentRequest,
    Experiments,
    ExperimentsQuery,
    ExperimentView,
    HoldoutBody,
    Looks,
    LooksQuery,
    PlanRequest,
    PlanView,
    StartRequest,
    StopRequest,
)

TAG = "experiments"
_ONE = "/experiments/{experiment_id}"
_BODY = (400, 403, 408, 413, 415, 422)
_CHANGED = {200: ExperimentView, 202: ExperimentPending}

DEFINE = Operation(
    "POST", "/experiments", "Plan an experiment, wholly and for good", TAG,
    {201: ExperimentView, 202: ExperimentPending}, _BODY, body=ExperimentRequest,
    headers={"Idempotency-Key": IDEMPOTENCY_KEY},
)  # fmt: skip
LIST = Operation(
    "GET", "/experiments", "Your experiments, the newest first", TAG, {200: Experiments, 304: None}, (403, 422),
    query=ExperimentsQuery, headers=IF_NONE_MATCH,
)  # fmt: skip
PLAN = Operation(
    "POST", "/experiments/plan", "How many people an effect needs, and what peeking would cost", TAG, {200: PlanView},
    _BODY, body=PlanRequest,
)  # fmt: skip
HOLDOUT = Operation(
    "GET", "/experiments/holdout", "How many of your people get no marketing", TAG, {200: HoldoutBody, 304: None},
    (403,), headers=IF_NONE_MATCH,
)  # fmt: skip
SET_HOLDOUT = Operation(
    "PUT", "/experiments/holdout", "Choose how many of your people get no marketing", TAG, {202: HoldoutBody}, _BODY,
    body=HoldoutBody,
)  # fmt: skip
ONE = Operation(
    "GET", _ONE, "An experiment, and what it shows", TAG, {200: ExperimentView, 304: None}, (403, 404, 422),
    path_parameters=ExperimentPath, headers=IF_NONE_MATCH,
)  # fmt: skip
LOOKS = Operation(
    "GET", f"{_ONE}/looks", "What was seen, the newest first: the curve of the evidence", TAG,
    {200: Looks, 304: None}, (403, 404, 422), path_parameters=ExperimentPath, query=LooksQuery, headers=IF_NONE_MATCH,
)  # fmt: skip
START = Operation(
    "POST", f"{_ONE}/start", "Start an experiment, or give it other weights", TAG, _CHANGED, (*_BODY, 404, 409),
    path_parameters=ExperimentPath, body=StartRequest,
)  # fmt: skip
STOP = Operation(
    "POST", f"{_ONE}/stop", "Draw nobody any more, into one arm or at all", TAG, _CHANGED, (*_BODY, 404, 409),
    path_parameters=ExperimentPath, body=StopRequest,
)  # fmt: skip
DECIDE = Operation(
    "POST", f"{_ONE}/decide", "Decide an experiment by hand", TAG, _CHANGED, (*_BODY, 404, 409),
    path_parameters=ExperimentPath, body=DecideRequest,
)  # fmt: skip
ASSIGN = Operation(
    "POST", f"{_ONE}/assign", "The arm of a person, for who sends without wabus", TAG, {200: AssignView},
    (*_BODY, 404, 409), path_parameters=ExperimentPath, body=AssignRequest,
)  # fmt: skip

OPERATIONS = (DEFINE, LIST, PLAN, HOLDOUT, SET_HOLDOUT, ONE, LOOKS, START, STOP, DECIDE, ASSIGN)


def add_routes(app: web.Application, api: ExperimentsApi) -> None:
    """Route every operation."""
    handlers = (
        (DEFINE, api.define),
        (LIST, api.list_all),
        (PLAN, api.plan),
        (HOLDOUT, api.holdout),
        (SET_HOLDOUT, api.set_holdout),
        (ONE, api.show),
        (LOOKS, api.looks),
        (START, api.start),
        (STOP, api.stop),
        (DECIDE, api.decide),
        (ASSIGN, api.assign),
    )
    route(app, handlers)
