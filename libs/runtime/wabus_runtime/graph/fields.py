"""Asking Graph for fields of which it may refuse some: what it does tell is worth having without them.

Graph refuses the whole call where an object has not one of the fields (another version, a field that was retired),
where a permission is missing for one, and where the answer would be too large. Source: Meta, "Field expansion", "Handle
errors" (Graph API); rapidpro#1545 shows the first.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from pydantic import SecretStr
from wabus_whatsapp.graph_errors import BadRequest, FieldUnknown, GraphError, PermissionLost, TooMuchData

from wabus_runtime.graph.client import Graph

log = structlog.get_logger()

PHONE_FIELDS = ("id", "display_phone_number", "verified_name", "quality_rating")
"""What is needed of a phone number."""
MAX_PHONE_NUMBERS = 100  # the largest page in Meta's OpenAPI; Meta allows far fewer numbers to a WABA

_OF_A_FIELD = (BadRequest, PermissionLost, TooMuchData)
"""Errors that may be about one of the fields only."""


async def read(
    graph: Graph,
    path: str,
    token: SecretStr,
    *,
    kind: str,
    needed: Sequence[str],
    optional: Sequence[str],
    query: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Graph's answer with the needed fields, and with as many of the optional ones as it tells.

    `kind` is what sort of object it is; a field that has been refused is asked for again after a day. Raises a
    `GraphError` where Graph refuses the needed fields too.
    """
    now = asyncio.get_running_loop().time()
    asked = graph.refused_fields.without(kind, path, optional, now)
    while True:
        try:
            answer, _ = await graph.call("GET", path, token, {**(query or {}), "fields": ",".join((*needed, *asked))})
            return answer
        except FieldUnknown as unknown:
            if unknown.field not in asked:
                raise
            asked.remove(unknown.field)
            graph.refused_fields.unknown(kind, unknown.field, now)
            log.info("graph has no such field", action="field_unknown", kind=kind, field=unknown.field)
        except _OF_A_FIELD as error:
            if not asked:
                raise
            return await _one_by_one(graph, path, token, kind, needed, asked, query or {}, error)


async def read_phone_numbers(graph: Graph, waba_id: str, token: SecretStr, optional: Sequence[str]) -> dict[str, Any]:
    """Graph's answer with all phone numbers of an account, each with as many of the optional fields as it tells.

    Raises a `GraphError`.
    """
    return await read(
        graph,
        f"{waba_id}/phone_numbers",
        token,
        kind="number",
        needed=PHONE_FIELDS,
        optional=optional,
        query={"limit": str(MAX_PHONE_NUMBERS)},
    )


async def _one_by_one(
    graph: Graph,
    path: str,
    token: SecretStr,
    kind: str,
    needed: Sequence[str],
    optional: Sequence[str],
    query: Mapping[str, str],
    error: GraphError,
) -> dict[str, Any]:
    """What is left where Graph refused without naming a field. Raises the error if it was none of the optional ones."""
    now = asyncio.get_running_loop().time()
    try:
        whole, _ = await graph.call("GET", path, token, {**query, "fields": ",".join(needed)})
    except _OF_A_FIELD:
        raise error from None
    for name in optional:
        try:
            answer, _ = await graph.call("GET", path, token, {**query, "fields": ",".join((*needed, name))})
        except _OF_A_FIELD as refused:
            graph.refused_fields.refused(kind, path, name, now)
            log.info("graph did not tell a field", action="field_refused", kind=kind, field=name, code=refused.code)
        else:
            _add(whole, answer, name)
    return whole


def _add(whole: dict[str, Any], answer: Mapping[str, Any], name: str) -> None:
    """Put a field of an object, or of each object of a list, beside what is there."""
    if name in answer:
        whole[name] = answer[name]
    listed, more = whole.get("data"), answer.get("data")
    if isinstance(listed, list) and isinstance(more, list):
        found = {each["id"]: each for each in more if isinstance(each, dict) and "id" in each}
        for each in listed:
            if isinstance(each, dict) and name in found.get(each.get("id"), {}):
                each[name] = found[each["id"]][name]
