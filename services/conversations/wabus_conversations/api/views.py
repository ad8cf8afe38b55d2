"""Rows as clients get them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol, cast

from wabus_whatsapp.joins import MessageState, latest
from wabus_whatsapp.sending.errors import ERRORS, meaning
from wabus_whatsapp.window import window

from wabus_conversations.threads import content
from wabus_conversations.threads.facts import Source
from wabus_conversations.threads.showing import Remark, Shown, shown

Json = dict[str, Any]


class Row(Protocol):
    """A row, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any: ...


PREVIEW = 200  # characters of a message in the list

STATES = {int(state): state.name.lower() for state in MessageState if state is not MessageState.NONE}
SOURCES = {int(source): source.name.lower() for source in Source}
_REMARKS = ("reaction", "edit", "revoke")


def conversation(row: Row, about_last: Sequence[Row], now: datetime, merged_into: str | None = None) -> Json:
    """A conversation at a moment; `about_last` is what was said about its last message."""
    person = row["person_id"]
    return {
        "conversation_id": row["conversation_id"],
        "merged_into": merged_into,
        "waba_id": row["waba_id"],
        "phone_number_id": row["phone_number_id"],
        "contact": _listed_contact(person, row) if person else None,
        "group_id": row["group_id"],
        "unread": row["unread"],
        "first_at": row["first_at"],
        "last_activity_at": row["last_at"],
        "sorted_at": row["sorted_at"],
        "window": _window(row, now) if person else None,
        "thread_owner": _thread_owner(row["thread_owner"]),
        "last_message": _last_message(row, about_last) if row["last_id"] else None,
        "work": work(row),
        "version": row["version"],
    }


def work(row: Row) -> Json:
    """What people do with a conversation."""
    state = row["work_state"]
    put, has_it = state != "open", bool(row["agent"] or row["bot"] or row["team"])
    return {
        "state": state,
        "agent": row["agent"],
        "bot": row["bot"],
        "team": row["team"],
        "assigned_at": row["assigned_at"] if has_it else None,
        "reason": row["reason"] if has_it else None,
        "rule": row["rule"] if has_it else None,
        "put_by": row["put_by"] if put else None,
        "put_at": row["put_at"] if put else None,
        "snoozed_until": row["snoozed_until"] if state == "snoozed" else None,
        "last_agent": row["last_agent"],
        "tags": row["tags"],
        "notes": row["notes"],
    }


def _listed_contact(person: str, row: Row) -> Json:
    known = cast(list[Json], row["identifiers"] or [])
    return {"contact_id": person, "name": row["name"], "username": row["username"], **_known_by(known)}


def _known_by(identifiers: Sequence[Json]) -> Json:
    return {
        "book_name": next((each["book_name"] for each in identifiers if each["book_name"]), None),
        "numbers": [each["value"] for each in identifiers if each["kind"] == "wa_id"],
        "user_ids": [each["value"] for each in identifiers if each["kind"] == "user_id"],
    }


def _window(row: Row, now: datetime) -> Json:
    names = ("user_last_at", "maybe_at", "free_reported_until", "free_computed_until")
    refused_at = latest(row["refused_at"], row["call_refused_at"])
    found = window(now, refused_at=refused_at, **{name: row[name] for name in names})
    free = found.free_entry_point
    return {
        "state": found.state,
        "closes_at": found.closes_at,
        "certain": found.certain,
        "free_entry_point": {"until": free.until, "source": free.source} if free else None,
    }


def _thread_owner(value: Json | None) -> Json | None:
    if value is None:
        return None
    return {**{name: value.get(name) for name in ("ours", "role", "app_id")}, "at": _moment(value["at"])}


def _last_message(row: Row, about: Sequence[Row]) -> Json:
    said = shown(remarks_of(about))
    text = row["last_text"] or content.text_of(row["last_content"] or {}, row["last_type"])
    if said.revoked_at:
        text = None
    elif said.edited is not None:
        text = _edited_text(said.edited)
    return {
        "message_id": row["last_id"],
        "direction": _direction(row["last_outgoing"]),
        "type": row["last_type"],
        "at": row["last_said_at"],
        "text": text[:PREVIEW] if text else None,
        "revoked": said.revoked_at is not None,
        "state": STATES.get(row["last_state"]),
    }


def message(
    row: Row,
    about: Sequence[Row],
    quoted: Json | None,
    failed: Sequence[Row],
    holders: Mapping[str, str],
) -> Json:
    """A line of a thread.

    `about` is what was said about it later, `quoted` what it replies to, `failed` the statuses that say why it was not
    delivered; `holders` are the persons whose identifiers are, where it is a group's.
    """
    said = shown(remarks_of(about, holders))
    now_says = None if said.revoked_at else said.edited if said.edited is not None else row["content"]
    in_group = row["group_id"] is not None
    edits = [] if said.revoked_at else sorted(_of_kind(about, "edit"), key=_in_order)
    calls = sorted(_of_kind(about, "call_update"), key=_in_order)
    state = row["state"]
    return {
        "message_id": row["message_id"],
        "direction": _direction(row["outgoing"]),
        "source": SOURCES[row["source"]],
        "kind": row["kind"],
        "type": row["type"],
        "at": row["at"],
        "sender": {"contact_id": holders.get(_by(row) or ""), "name": row["name"]}
        if in_group and not row["outgoing"]
        else None,
        "content": now_says,
        "altered": row["altered"],
        "text": _text(row, said),
        "unread": row["unread"],
        "reply_to": quoted,
        "reactions": [
            {
                "emoji": emoji,
                "by": "business" if by == _BUSINESS else "contact",
                "contact_id": by if in_group and by in holders.values() else None,
            }
            for by, emoji in said.reactions.items()
        ],
        "revoked_at": said.revoked_at,
        "edited_at": said.edited_at,
        "original": row["content"] if said.edited is not None else None,
        "edits": [{"at": each["at"], "content": _edited(each["content"])} for each in edits],
        "call_updates": [{"at": each["at"], "content": each["content"]} for each in calls],
        "state": STATES.get(state) if row["outgoing"] else None,
        "failure": {
            "at": row["failed_at"],
            "note": state > MessageState.FAILED,
            "errors": [error for each in failed for error in errors(each["content"])],
        }
        if row["failed_at"]
        else None,
        **{name: row[name] for name in ("sent_at", "delivered_at", "read_at", "played_at")},
    }


def quoted(message_id: str, row: Row | None, about: Sequence[Row]) -> Json:
    """What a message replies to, if that is here."""
    if row is None:
        return {"message_id": message_id, "here": False, "direction": None, "type": None, "text": None}
    text = _text(row, shown(remarks_of(about)))
    return {
        "message_id": message_id,
        "here": True,
        "direction": _direction(row["outgoing"]),
        "type": row["type"],
        "text": text[:PREVIEW] if text else None,
    }


def is_found(row: Row, about: Sequence[Row]) -> bool:
    """Whether what was found of a message is what it still says. `row` is the message, or an edit of it."""
    said = shown(remarks_of(about))
    if said.revoked_at:
        return False
    if row["kind"] == "edit":
        return said.edited_at == row["at"] and said.edited == _edited(row["content"])
    return said.edited is None


def status(row: Row, holders: Mapping[str, str], *, in_group: bool) -> Json:
    """A row of the history of a message."""
    told = cast(Json, row["content"])
    return {
        "status": row["status"],
        "at": row["at"],
        "contact_id": holders.get(row["identifier_id"] or "") if in_group else None,
        "errors": errors(told),
        "pricing": _object(told.get("pricing")),
        "conversation": _object(told.get("conversation")),
    }


def errors(told: Json) -> list[Json]:
    """Meta's errors in a status."""
    found = told.get("errors")
    return [_error(cast(Json, each)) for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _error(told: Json) -> Json:
    data = _object(told.get("error_data")) or {}
    code = told.get("code")
    texts = {"title": told.get("title"), "message": told.get("message"), "details": data.get("details")}
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    known = ERRORS.get(number) if number is not None else None
    return {
        "code": number,
        **{name: text if isinstance(text, str) else None for name, text in texts.items()},
        "meaning": meaning(number) if number is not None else None,
        "remedy": known.remedy if known else None,
    }


def contact(row: Row, merged_into: str | None = None) -> Json:
    """A person with all that they are known by."""
    known = cast(list[Json], row["identifiers"] or [])
    threads = cast(list[Json], row["conversations"] or [])
    return {
        "contact_id": row["person_id"],
        "merged_into": merged_into,
        "name": _newest(threads, "name"),
        "username": _newest(threads, "username"),
        **_known_by([each for each in known if each["current"]]),
        "first_seen": row["first_seen"],
        "identifiers": [
            {
                "kind": each["kind"],
                "value": each["value"],
                "first_seen": _moment(each["first_seen"]),
                "current": each["current"],
            }
            for each in known
        ],
        "conversations": [
            {
                **{name: each[name] for name in ("conversation_id", "waba_id", "phone_number_id")},
                "last_activity_at": _moment(each["last_activity_at"]) if each["last_activity_at"] else None,
            }
            for each in threads
        ],
        "preferences": _preferences(cast(list[Json], row["facts"] or [])),
    }


def _preferences(facts: Iterable[Json]) -> list[Json]:
    """The newest of each number and category; they come with the newest first."""
    found: dict[tuple[str, str], Json] = {}
    for each in facts:
        kind, _, category = each["fact"].partition(" ")
        if kind == "preference":
            value = _object(each["value"]) or {}
            found.setdefault(
                (each["phone_number_id"], category),
                {
                    "phone_number_id": each["phone_number_id"],
                    "category": category,
                    "choice": value.get("choice"),
                    "wants_marketing": value.get("wants_marketing"),
                    "at": _moment(each["at"]),
                },
            )
    return list(found.values())


def _newest(threads: Iterable[Json], name: str) -> str | None:
    told = [(_moment(each[f"{name}_at"]), each[name]) for each in threads if each[name]]
    return max(told)[1] if told else None


_BUSINESS = ""
"""Who reacts for the business, whoever that is."""
_PERSON = "person"


def remarks_of(about: Iterable[Row], holders: Mapping[str, str] = MappingProxyType({})) -> list[Remark]:
    """Reactions, edits and revokes as the fold takes them: whose each is, is one person's in a thread with one.

    In a group it is the person's who has the identifier now, by `holders`, whatever others they had before.
    """
    return [
        Remark(row["message_id"], row["kind"], row["at"], row["tie"], _remarked_by(row, holders), row["content"] or {})
        for row in about
        if row["kind"] in _REMARKS
    ]


def _remarked_by(row: Row, holders: Mapping[str, str]) -> str:
    if row["outgoing"]:
        return _BUSINESS
    by = None if row["group_id"] is None else _by(row)
    return holders.get(by, by) if by else _PERSON


def _by(row: Row) -> str | None:
    """The identifier of who wrote it."""
    return row["user_id"] or row["wa_id"]


def senders(rows: Iterable[Row]) -> set[str]:
    """The identifiers of who wrote messages in groups."""
    return {by for row in rows if row["group_id"] is not None and (by := _by(row))}


def _of_kind(rows: Iterable[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


def _in_order(row: Row) -> tuple[datetime, int, str]:
    return row["at"], row["tie"], row["message_id"]


def _text(row: Row, said: Shown) -> str | None:
    if said.revoked_at:
        return None
    if said.edited is not None:
        return _edited_text(said.edited)
    return content.text_of(row["content"] or {}, row["type"])


def _edited_text(edited: Json) -> str | None:
    kind = edited.get("type")
    return content.text_of(edited, kind) if isinstance(kind, str) else None


def _edited(told: Json | None) -> Json | None:
    part = _object((told or {}).get("edit")) or {}
    return _object(part.get("message"))


def _object(part: Any) -> Json | None:
    return cast(Json, part) if isinstance(part, dict) else None


def _direction(outgoing: bool) -> str:
    return "out" if outgoing else "in"


def _moment(told: str) -> datetime:
    """A moment out of JSON that PostgreSQL has made."""
    return datetime.fromisoformat(told).astimezone(UTC)
