"""The addresses of the API and what stands behind each, as `/openapi.json` describes them."""

from collections.abc import Callable

from aiohttp import web
from wabus_runtime.http.answers import Handler
from wabus_runtime.http.headers import IDEMPOTENCY_KEY, IF_NONE_MATCH, PREFER_WAIT
from wabus_runtime.http.openapi import Operation, route
from wabus_whatsapp.templates.render_input import RenderBody

from wabus_template_sync.api.models import (
    ListQuery,
    RenderedView,
    StatusQuery,
    StatusView,
    SyncBody,
    SyncsView,
    SyncView,
    TemplateList,
    TemplateQuery,
    TemplateView,
    VersionList,
    VersionsQuery,
)
from wabus_template_sync.api.syncs import SyncApi
from wabus_template_sync.api.templates import Api

TAG = "templates"

LIST = Operation(
    "GET", "/templates", "The templates, in the order of their names and languages", TAG,
    {200: TemplateList, 304: None}, (422,), query=ListQuery, headers=IF_NONE_MATCH,
)  # fmt: skip
STATUS = Operation(
    "GET", "/templates/status", "How the syncs stand, and how many templates there are", TAG,
    {200: StatusView}, (404, 422), query=StatusQuery, repeatable=("sync_id",),
)  # fmt: skip
ONE_SYNC = Operation(
    "GET", "/templates/sync/{sync_id}", "How one sync stands", TAG, {200: SyncView}, (404, 422)
)  # fmt: skip
SYNC_STREAM = Operation(
    "GET", "/templates/sync/{sync_id}/stream", "How one sync stands, live until it has ended (server-sent events)", TAG,
    {200: SyncView}, (404, 422, 429), media="text/event-stream",
)  # fmt: skip
SYNC = Operation(
    "POST", "/templates/sync", "Compare with Meta now; a sync under way is joined (administrators only)", TAG,
    {200: SyncsView, 202: SyncsView}, (400, 403, 404, 408, 413, 415, 422, 429), body=SyncBody, body_required=False,
    headers={"Prefer": PREFER_WAIT, "Idempotency-Key": IDEMPOTENCY_KEY},
)  # fmt: skip
ONE = Operation(
    "GET", "/templates/{template_id}", "One template", TAG,
    {200: TemplateView, 304: None}, (404, 422), query=TemplateQuery, headers=IF_NONE_MATCH,
)  # fmt: skip
VERSIONS = Operation(
    "GET", "/templates/{template_id}/versions", "What a template was, and what changed each time", TAG,
    {200: VersionList, 304: None}, (404, 422), query=VersionsQuery, headers=IF_NONE_MATCH,
)  # fmt: skip
RENDER = Operation(
    "POST", "/templates/{template_id}/render", "Fill a template in, or say what is missing", TAG,
    {200: RenderedView}, (400, 404, 408, 413, 415, 422), body=RenderBody,
)  # fmt: skip

OPERATIONS = (LIST, STATUS, ONE_SYNC, SYNC_STREAM, SYNC, ONE, VERSIONS, RENDER)


def add_routes(app: web.Application, api: Callable[[], Api], sync_api: Callable[[], SyncApi]) -> None:
    """Route every operation; what handles it is there only once the application has started."""
    handlers: list[tuple[Operation, Callable[[], Handler]]] = [
        (LIST, lambda: api().list_templates),
        (STATUS, lambda: sync_api().status),
        (ONE_SYNC, lambda: sync_api().one_sync),
        (SYNC_STREAM, lambda: sync_api().sync_stream),
        (SYNC, lambda: sync_api().sync),
        (ONE, lambda: api().one_template),
        (VERSIONS, lambda: api().versions),
        (RENDER, lambda: api().render),
    ]
    route(app, ((operation, _late(handler)) for operation, handler in handlers))


def _late(handler: Callable[[], Handler]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler()(request)

    return handle
