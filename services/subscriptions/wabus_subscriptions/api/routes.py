"""The addresses of the API and what stands behind each, as `/openapi.json` describes them."""

from aiohttp import web
from wabus_runtime.http.openapi import Operation, route

from wabus_subscriptions.api.models import (
    Again,
    CreatedSubscription,
    Deliveries,
    DeliveriesQuery,
    DeliveryPath,
    NewSubscription,
    Replay,
    Secrets,
    SubscriptionChange,
    SubscriptionPath,
    SubscriptionsView,
    SubscriptionView,
)
from wabus_subscriptions.api.subscriptions import SubscriptionsApi

TAG = "subscriptions"
ONE_PATH = "/subscriptions/{subscription_id}"
BODY = (400, 403, 408, 413, 415, 422)

CREATE = Operation(
    "POST", "/subscriptions", "Be told of events by webhook (administrators only)", TAG,
    {201: CreatedSubscription}, (*BODY, 409), body=NewSubscription,
)  # fmt: skip
ALL = Operation(
    "GET", "/subscriptions", "The subscriptions (administrators only)", TAG, {200: SubscriptionsView}, (403,)
)
ONE = Operation(
    "GET", ONE_PATH, "One subscription (administrators only)", TAG,
    {200: SubscriptionView}, (403, 404, 422), path_parameters=SubscriptionPath,
)  # fmt: skip
CHANGE = Operation(
    "PATCH", ONE_PATH, "Change, pause or resume a subscription (administrators only)", TAG,
    {200: SubscriptionView}, (*BODY, 404), path_parameters=SubscriptionPath, body=SubscriptionChange,
)  # fmt: skip
DELETE = Operation(
    "DELETE", ONE_PATH, "End a subscription (administrators only)", TAG,
    {204: None}, (403, 404, 422), path_parameters=SubscriptionPath,
)  # fmt: skip
REPLAY = Operation(
    "POST", f"{ONE_PATH}/replay", "Be told once more of all since a moment (administrators only)", TAG,
    {202: SubscriptionView}, (*BODY, 404), path_parameters=SubscriptionPath, body=Replay,
)  # fmt: skip
SECRETS = Operation(
    "GET", f"{ONE_PATH}/secrets", "The secrets that sign its webhooks (administrators only)", TAG,
    {200: Secrets}, (403, 404, 422), path_parameters=SubscriptionPath,
)  # fmt: skip
ROTATE = Operation(
    "POST", f"{ONE_PATH}/secrets", "Give it another secret (administrators only)", TAG,
    {201: Secrets}, (403, 404, 409, 422, 429), path_parameters=SubscriptionPath,
)  # fmt: skip
DELIVERIES = Operation(
    "GET", f"{ONE_PATH}/deliveries", "What became of its webhooks, the newest attempt first (administrators only)", TAG,
    {200: Deliveries}, (403, 404, 422), path_parameters=SubscriptionPath, query=DeliveriesQuery,
)  # fmt: skip
AGAIN = Operation(
    "POST", f"{ONE_PATH}/deliveries/{{event_id}}/again", "Be told of one event once more (administrators only)", TAG,
    {202: Again}, (403, 404, 422), path_parameters=DeliveryPath,
)  # fmt: skip

OPERATIONS = (CREATE, ALL, ONE, CHANGE, DELETE, REPLAY, SECRETS, ROTATE, DELIVERIES, AGAIN)


def add_routes(app: web.Application, api: SubscriptionsApi) -> None:
    """Route every operation."""
    handlers = (
        (CREATE, api.create),
        (ALL, api.all),
        (ONE, api.one),
        (CHANGE, api.change),
        (DELETE, api.delete),
        (REPLAY, api.replay),
        (SECRETS, api.secrets),
        (ROTATE, api.rotate),
        (DELIVERIES, api.deliveries),
        (AGAIN, api.again),
    )
    route(app, handlers)
