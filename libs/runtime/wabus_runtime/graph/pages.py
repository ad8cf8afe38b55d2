"""Graph's lists come in pages: where the next one begins, and every page of a short list.

Source: Meta, "Paginated results" (Graph API).
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr
from wabus_whatsapp.graph_errors import MalformedAnswer

from wabus_runtime.graph.client import Graph

PAGE_SIZE = 100  # entries; Graph's default is 25


def next_cursor(page: Mapping[str, Any], graph_url: str, *, full: bool) -> str | None:
    """Where the next page begins, or None after the last one.

    `paging.next` says that there is one, but is never followed itself: only its cursor is taken, and none from
    another host. Without `next`, a `full` page that has a cursor is asked on, rather than entries being lost.
    """
    paging = page.get("paging")
    if not isinstance(paging, dict):
        return None
    link, cursors = paging.get("next"), paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if isinstance(after, str) and after:
        return after if link or full else None
    if not isinstance(link, str):
        return None
    try:
        parts = urlsplit(link)
        same_host = parts.hostname == urlsplit(graph_url).hostname
    except ValueError:
        raise MalformedAnswer from None
    given = parse_qs(parts.query).get("after", [""])[0]
    if not same_host or not given:
        raise MalformedAnswer
    return given


async def listed(
    graph: Graph, graph_url: str, path: str, token: SecretStr, fields: str, most: int
) -> AsyncGenerator[Mapping[str, Any]]:
    """The entries of a list that are objects, page after page, and no page more once it had `most` entries.

    Raises a `GraphError`: `MalformedAnswer` where a page has no list or the pages go round in circles.
    """
    after: str | None = None
    seen: set[str] = set()
    had = 0
    while True:
        query = {"fields": fields, "limit": str(PAGE_SIZE), **({"after": after} if after else {})}
        page, _ = await graph.call("GET", path, token, query)
        entries = page.get("data")
        if not isinstance(entries, list):
            raise MalformedAnswer
        for entry in cast(list[Any], entries):
            if isinstance(entry, dict):
                yield cast(dict[str, Any], entry)
        had += len(entries)
        after = next_cursor(page, graph_url, full=len(entries) >= PAGE_SIZE)
        if after is None or had >= most:
            return
        if after in seen:
            raise MalformedAnswer
        seen.add(after)
