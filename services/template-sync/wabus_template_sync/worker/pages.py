"""Every page of a WABA's templates at Meta: how the Graph API is asked for them, page by page, without losing one.

Sources: Meta's "WhatsApp Business Account, message_templates", "Paginated results" and "Rate limits".
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import structlog
from pydantic import SecretStr
from wabus_runtime.graph.client import BackOff, Graph
from wabus_runtime.graph.pages import next_cursor
from wabus_whatsapp.graph_errors import MalformedAnswer, TooMuchData, Usage

FIELDS = (
    "id,name,language,status,category,sub_category,previous_category,correct_category,parameter_format,quality_score,"
    "rejected_reason,components,message_send_ttl_seconds,library_template_name,cta_url_link_tracking_opted_out"
)
PAGE_SIZE = 100  # templates; Meta's default is 25
MAX_PAGES = 10_000  # a WABA has at most 6,000 templates; more pages than this are a loop

log = structlog.get_logger()


class Page(NamedTuple):
    """Some of a WABA's templates as Graph gives them, whether there are more, and how many in all, if Graph says."""

    templates: list[Any]
    more: bool
    total: int | None


async def template_pages(
    graph: Graph, graph_url: str, waba_id: str, token: SecretStr, rest: BackOff = asyncio.sleep
) -> AsyncGenerator[Page]:
    """Every page of the WABA's templates.

    The next page is asked for before this one is handed out, so that Graph takes its time beside what is done with it.
    Waits for rate limits with `rest`. Raises a `GraphError` once retries are used up: a listing is whole or it fails.
    """
    path = f"{quote(waba_id, safe='')}/message_templates"
    limit, after, total = PAGE_SIZE, None, None
    seen: set[str] = set()

    def ask() -> asyncio.Task[tuple[dict[str, Any], Usage]]:
        place = {"after": after} if after else {"summary": "total_count"}
        query = {"fields": FIELDS, "limit": str(limit), **place}
        return asyncio.create_task(graph.call("GET", path, token, query, account=waba_id, rest=rest))

    asked = ask()
    try:
        for _ in range(MAX_PAGES):
            try:
                page, _ = await asked
            except TooMuchData:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)
                log.info("asking for smaller pages", action="page_shrunk", waba_id=waba_id, limit=limit)
                asked = ask()
                continue
            templates = page.get("data")
            if not isinstance(templates, list):
                raise MalformedAnswer
            total = total or _total(page)
            after = next_cursor(page, graph_url, full=len(templates) >= limit)
            if after is None:
                yield Page(cast(list[Any], templates), False, total)
                return
            if after in seen:
                raise MalformedAnswer
            seen.add(after)
            asked = ask()
            yield Page(cast(list[Any], templates), True, total)
        raise MalformedAnswer
    finally:
        if not asked.cancel() and not asked.cancelled():
            asked.exception()  # seen, whether or not it was waited for


async def one_template(
    graph: Graph, waba_id: str, template_id: str, token: SecretStr, rest: BackOff = asyncio.sleep
) -> dict[str, Any]:
    """A single template as Graph has it now. Raises a `GraphError`; `AccountNotFound` where there is none."""
    path = quote(template_id, safe="")
    answer, _ = await graph.call("GET", path, token, {"fields": FIELDS}, account=waba_id, rest=rest)
    if str(answer.get("id")) != template_id:
        raise MalformedAnswer
    return answer


def _total(page: Mapping[str, Any]) -> int | None:
    summary = page.get("summary")
    total = summary.get("total_count") if isinstance(summary, dict) else None
    return total if isinstance(total, int) and 0 < total < 2**31 else None
