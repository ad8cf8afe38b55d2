"""What client applications ask for: the templates, one of them, its history, and one filled in.

Everything is limited to the organisation in the caller's token.
"""

from dataclasses import asdict, dataclass
from typing import Any

import asyncpg
from aiohttp import web
from wabus_events import Template
from wabus_runtime.http import bodies
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.headers import tagged_response
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_runtime.postgres.read_replica import Reads
from wabus_whatsapp.templates.explanation import Explanation
from wabus_whatsapp.templates.parse import APPROVED, dump_template
from wabus_whatsapp.templates.render import CannotRender, render
from wabus_whatsapp.templates.render_input import RenderBody

from wabus_template_sync.api.models import (
    WORDS_MOST,
    ListQuery,
    TemplatePath,
    TemplateQuery,
    TemplateView,
    Text,
    VersionsQuery,
)
from wabus_template_sync.tables import reads as queries
from wabus_template_sync.tables.template_store import template_row, version_of
from wabus_template_sync.templates.differences import differences
from wabus_template_sync.templates.fold import EXPLAINED, Version

PARTS = {"parameter_format", "header", "body", "footer", "buttons", "carousel", "limited_time_offer"}
ORDER = ("name", "language", "waba_id", "template_id")
Place = tuple[Text, Text, Text, Text]
"""Of a template in the list, by `ORDER`."""
VIEWED = frozenset(TemplateView.model_fields)


@dataclass(frozen=True)
class Api:
    """What the handlers need; they are its methods."""

    reads: Reads

    async def list_templates(self, request: web.Request) -> web.Response:
        """GET /templates"""
        caller = await authorise(request)
        asked = checked(ListQuery, query_of(request))
        fields = _fields(asked.fields)
        wanted = queries.Wanted(
            org_id=caller.org_id,
            statuses=_statuses(asked.status),
            waba_id=asked.waba_id,
            language=asked.language,
            category=asked.category.upper() if asked.category else None,
            quality=asked.quality.upper() if asked.quality else None,
            name=asked.name,
            words=asked.q.split()[:WORDS_MOST] if asked.q else None,
            after=place_of(asked.after, Place) if asked.after else None,
            limit=asked.limit,
        )

        async def question(pool: asyncpg.Pool) -> tuple[int, list[asyncpg.Record]]:
            return await queries.count_templates(pool, wanted), await queries.list_templates(pool, wanted)

        total, rows = await self.reads.ask(question)
        page, last = page_of(rows, asked.limit)
        content = {
            "templates": [_only(fields, _template(row)) for row in page],
            "total": total,
            "next": cursor_of([last[column] for column in ORDER]) if last else None,
        }
        return tagged_response(request, content)

    async def one_template(self, request: web.Request) -> web.Response:
        """GET /templates/{template_id}"""
        fields = _fields(checked(TemplateQuery, query_of(request)).fields)
        row = await self._one(request)
        if row["removed_at"]:
            raise _gone()
        return tagged_response(request, _only(fields, _template(row)))

    async def versions(self, request: web.Request) -> web.Response:
        """GET /templates/{template_id}/versions"""
        asked = checked(VersionsQuery, query_of(request))
        org_id, template_id = await self._asked(request)

        async def question(pool: asyncpg.Pool) -> tuple[asyncpg.Record, list[asyncpg.Record]]:
            row = await _row(pool, org_id, template_id)
            # One more than the page has, for the last of the page differs from it.
            return row, await queries.versions(
                pool, org_id, row["waba_id"], row["template_id"], asked.before, asked.limit + 1
            )

        row, earlier = await self.reads.ask(question)
        current = template_row(row)
        stood: list[tuple[Version, Template | None]] = []
        if current.version and (asked.before is None or current.version.number < asked.before):
            stood.append((current.version, current.shown))
        for one in earlier[: asked.limit + 1 - len(stood)]:
            template = Template.model_validate(one["template"]) if one["template"] else None
            stood.append((version_of(one["version"]), template))
        page, last = page_of(stood, asked.limit)
        befores = [template for _, template in stood[1:]] + [None]
        content = {
            "template_id": row["template_id"],
            "deleted": current.shown is None,
            "versions": [
                {
                    **{name: getattr(version, name) for name in ("number", "kind", "at", "source", "event_id")},
                    "changed_fields": list(version.fields),
                    "differences": [asdict(one) for one in differences(before, template)],
                    "template": _view(template, row["waba_id"]) if template else None,
                }
                for (version, template), before in zip(page, befores, strict=False)
            ],
            "next": last[0].number if last else None,
        }
        return tagged_response(request, content)

    async def render(self, request: web.Request) -> web.Response:
        """POST /templates/{template_id}/render"""
        row = await self._one(request)
        template = template_row(row).shown
        if template is None:
            raise _gone()
        given = await bodies.json_body(request, RenderBody)
        try:
            rendered = render(template, given)
        except CannotRender as error:
            raise Problem(
                422,
                "parameters_do_not_fit",
                "The parameters do not fit the template",
                " ".join(f"{one.part}: {one.message}" for one in error.wrong[:3]),
                wrong=[asdict(one) for one in error.wrong],
            ) from None
        payload = {
            "name": template.name,
            "language": {"code": template.language},
            "components": rendered.components,
        }
        shown = {name: getattr(rendered, name) for name in ("header", "body", "footer", "buttons", "cards")}
        about = {"template_id": template.template_id, "status": template.status}
        return json_response({**about, "sendable": template.status == APPROVED, **shown, "template": payload})

    async def _one(self, request: web.Request) -> asyncpg.Record:
        org_id, template_id = await self._asked(request)
        return await self.reads.ask(lambda pool: _row(pool, org_id, template_id))

    async def _asked(self, request: web.Request) -> tuple[str, str]:
        caller = await authorise(request)
        return caller.org_id, checked(TemplatePath, dict(request.match_info)).template_id


async def _row(pool: asyncpg.Pool, org_id: str, template_id: str) -> asyncpg.Record:
    row = await queries.template(pool, org_id, template_id)
    if row is None:
        raise Problem(404, "template_not_found", "No such template", "There is no template of yours with this id.")
    return row


def _gone() -> Problem:
    return Problem(
        404,
        "template_deleted",
        "No longer there",
        "This template was deleted at Meta. Its history is still there, at /templates/{id}/versions.",
    )


def _statuses(given: str) -> list[str] | None:
    statuses = [status.strip().upper() for status in given.split(",") if status.strip()]
    return None if "ALL" in statuses else statuses or [APPROVED]


def _fields(given: str) -> frozenset[str]:
    """The fields asked for, and the id. Raises a problem naming those that there are not."""
    names = frozenset(name.strip() for name in given.split(",") if name.strip())
    if unknown := sorted(names - VIEWED):
        detail = f"A template has no field {', '.join(unknown)[:200]}."
        raise Problem(422, "unknown_field", "Unknown field", detail, fields=["fields"])
    return names | {"template_id"} if names else VIEWED


def _only(fields: frozenset[str], view: dict[str, Any]) -> dict[str, Any]:
    return view if fields is VIEWED else {name: value for name, value in view.items() if name in fields}


def _template(row: asyncpg.Record) -> dict[str, Any]:
    """A template as clients get it: typed parts, and Meta's own components beside them."""
    columns = ("category", "status", "quality", "rejected_reason", "created_at", "updated_at")
    return {
        **_view(Template.model_validate(row["template"]), row["waba_id"]),
        **{column: row[column] for column in columns},
        "version": row["version"]["number"] if row["version"] else None,
        **_explained(template_row(row).explanation if row["status"] in EXPLAINED else None),
    }


def _explained(explanation: Explanation | None) -> dict[str, Any]:
    """What Meta said of the status that the template has."""
    about: dict[str, Any] = {"rejection": None, "pause": None}
    match explanation:
        case Explanation(status="REJECTED", reason=reason, recommendation=recommendation):
            about["rejection"] = {"reason": reason, "recommendation": recommendation}
        case Explanation(status="PAUSED", pause=title, told_at=began_at, ends_at=ends_at):
            about["pause"] = {"title": title, "began_at": began_at, "ends_at": ends_at}
        case _:
            pass
    return about


def _view(template: Template, waba_id: str) -> dict[str, Any]:
    columns = ("template_id", "name", "language", "category", "status", "quality", "rejected_reason")
    return {
        **{column: getattr(template, column) for column in columns},
        "waba_id": waba_id,
        **_without_raw(template.model_dump(include=PARTS)),
        "components": dump_template(template)["components"],
    }


def _without_raw(value: Any) -> Any:
    """Typed parts without what Meta sent, which is beside them."""
    match value:
        case dict():
            return {key: _without_raw(inner) for key, inner in value.items() if key != "raw"}
        case list():
            return [_without_raw(inner) for inner in value]
        case _:
            return value
