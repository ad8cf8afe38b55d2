"""Answers made of rows."""

from typing import Any

import asyncpg
from wabus_whatsapp.ids import message_id
from wabus_whatsapp.sending.uploads import file_type

from wabus_sender.sending.explaining import explained
from wabus_sender.sending.states import Send
from wabus_sender.tables.sends import send_of


def send(row: asyncpg.Record) -> dict[str, Any]:
    """A send as clients see it."""
    known = send_of(row)
    refusal = known.refusal if row["state"] == "refused" else None
    queued = row["state"] == "queued"
    return {
        "send_id": row["send_id"],
        "state": row["state"],
        "from": row["phone_number_id"],
        "to": row["wa_id"],
        "recipient": row["user_id"],
        "conversation_id": row["conversation_id"],
        "kind": row["kind"],
        "lane": row["lane"],
        "label": row["label"],
        "metadata": row["metadata"],
        "requested_at": row["requested_at"],
        "expires_at": row["expires_at"],
        "next_at": row["next_at"] if queued else None,
        "attempts": row["claimed"],
        "message_id": message_id(row["org_id"], row["phone_number_id"], known.wamid) if known.wamid else None,
        "message_status": known.acceptance.message_status if known.acceptance else None,
        "delivery": row["heard_status"] if row["state"] == "accepted" else None,
        "delivery_errors": list(row["heard_errors"] or ()) if row["state"] == "accepted" else [],
        "waits_for": _waits_for(known, held=row["held"], template_paused=row["template_paused"]) if queued else None,
        "refusal": refused(refusal.code, refusal.stage, refusal.error_code) if refusal else None,
        "again_of": row["again_of"],
        "experiment_id": row["experiment_id"],
        "arm": row["arm"],
        "withheld": row["withheld"],
        "changed_at": row["changed_at"],
    }


def upload(row: asyncpg.Record) -> dict[str, Any]:
    """A file as clients see it."""
    known = file_type(row["content_type"])
    return {
        "upload_id": row["upload_id"],
        "state": row["state"],
        "content_type": row["content_type"],
        "kind": known[1].kind if known else "document",
        "size": row["size"],
        "uploaded_at": row["created_at"],
        "media_id": row["media_id"],
        "ends_at": row["ends_at"],
        "refusal": refused(row["refusal"], "graph", row["error_code"]) if row["refusal"] else None,
    }


def _waits_for(known: Send, *, held: bool, template_paused: bool) -> str | None:
    if held:
        return "template_paused" if template_paused else "label_paused"
    return known.returned.reason if known.returned else None


def refused(code: str, stage: str, error_code: int | None = None) -> dict[str, Any]:
    """Why something was refused, with what helps."""
    why = explained(code, error_code)
    return {
        "code": code,
        "message": why.message,
        "remedy": why.remedy,
        "stage": stage,
        "error_code": error_code,
    }
