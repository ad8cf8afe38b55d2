"""What did Meta tell us? A webhook's bytes become events, one for each message, status and change; nothing is lost.

Pure: no I/O, no clock. This takes a body apart into changes; what the value of a change becomes is in
`wabus_events.webhooks`, where whoever reads an `Unrecognised` of before finds it too.
Source: Meta, "Webhooks reference: WhatsApp Business Account".
"""

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

from wabus_events import Event, Unrecognised, fact_id
from wabus_events.webhooks.about import About, Owner, about_change, is_id, kept_as_bytes, unrecognised
from wabus_events.webhooks.changes import facts_in_field
from wabus_events.webhooks.values import Json, Unwritable, moment

from wabus_gateway.webhooks.sliced_json import TooManyParts, parsed


def facts_in(
    body: bytes,
    *,
    received_at: datetime,
    owner: Owner,
    app_id: str | None = None,
    unrecognised_too: bool = False,
) -> Iterator[Event]:
    """The events of a correctly signed webhook, in its order. Linear in its size; never raises for its content.

    `app_id` is our own app's, to know what Meta tells of others. With `unrecognised_too`, what has a model only since
    this release is told as before too.
    """
    for event in facts_in_slices(
        body, received_at=received_at, owner=owner, app_id=app_id, unrecognised_too=unrecognised_too
    ):
        if event is not None:
            yield event


def facts_in_slices(
    body: bytes,
    *,
    received_at: datetime,
    owner: Owner,
    app_id: str | None = None,
    unrecognised_too: bool = False,
) -> Iterator[Event | None]:
    """The same, none of whose steps takes more than some ms: None where one has made nothing yet."""
    try:
        payload: Any = yield from parsed(body)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        yield
        many = isinstance(error, TooManyParts)
        reason = "more parts than a webhook has" if many else "the body is no JSON that events can carry"
        yield whole(body, received_at=received_at, reason=reason)
        return
    if not isinstance(payload, dict):
        yield whole(body, received_at=received_at, reason="the body is no JSON object")
        return
    root = cast(Json, payload)
    entries = root.get("entry")
    nobody = About(None, None, received_at, app_id=app_id, unrecognised_too=unrecognised_too)
    if root.get("object") != "whatsapp_business_account" or not isinstance(entries, list):
        yield from unrecognised(root, nobody, None, "not a webhook of a WhatsApp Business account")
        return
    for entry in cast(list[Any], entries):
        yield from _facts_in_entry(entry, nobody, owner)
    extra = {key: value for key, value in root.items() if key not in ("object", "entry")}
    if extra or not entries:
        yield from unrecognised(root if not entries else extra, nobody, None, "unknown parts beside entry")


def whole(body: bytes, *, received_at: datetime, reason: str) -> Unrecognised:
    """A webhook that can't be taken apart, as the bytes that came."""
    return Unrecognised(
        id=fact_id(Unrecognised.type, hashlib.sha256(body).hexdigest()),
        time=received_at,
        reason=reason,
        body=base64.b64encode(body).decode(),
    )


def _facts_in_entry(entry: Any, nobody: About, owner: Owner) -> Iterator[Event | None]:
    if not isinstance(entry, dict):
        yield from unrecognised(entry, nobody, None, "an entry is no object")
        return
    parts = cast(Json, entry)
    entry_id, changes = parts.get("id"), parts.get("changes")
    time = moment(parts.get("time"))
    if not is_id(entry_id) or not isinstance(changes, list) or not changes:
        # Its time is in what is kept, and so in the identity.
        about = nobody._replace(received_at=time or nobody.received_at)
        yield from unrecognised(parts, about, None, "an entry without id or changes")
        return
    waba_id = str(entry_id)
    about = nobody._replace(waba_id=waba_id, entry_time=time, org_id=owner(waba_id) if waba_id else None)
    for change in cast(list[Any], changes):
        yield from _facts_in_change(about, change, owner)
    understood = {"id", "changes", "time"} if time else {"id", "changes"}
    extra = {key: value for key, value in parts.items() if key not in understood}
    if extra:
        yield from unrecognised(extra, about, None, "unknown parts of an entry")


def _facts_in_change(entry: About, change: Any, owner: Owner) -> Iterator[Event | None]:
    if isinstance(change, Unwritable):
        about = about_change(entry, change.field, None, owner)
        yield from kept_as_bytes(change, about, "a change that events cannot carry as JSON")
        return
    parts = cast(Json, change) if isinstance(change, dict) else {}
    field, value = parts.get("field"), parts.get("value")
    about = about_change(entry, field, value, owner)
    if not isinstance(field, str) or not isinstance(value, dict) or set(parts) != {"field", "value"}:
        known = field if isinstance(field, str) else None
        yield from unrecognised(change, about, known, "a change is not just field and value")
        return
    yield from facts_in_field(field, cast(Json, value), about)
