"""What Graph says of a connected account, as a fact, and whether that differs from what is known. Pure.

Sources: Meta's "Debug Token", "WhatsApp Business Account, subscribed_apps", "WhatsApp Business Phone Number",
"Overriding the callback URL" (`webhook_configuration`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from wabus_events import AccountChecked, CheckedNumber, fact_id
from wabus_events.models import messaging_limit
from wabus_whatsapp.stored_text import storable

from wabus_health_projector.health.state import Checked, CheckFailure, Connection, Fact, WabaHealth, digits, order

PHONE_FIELDS = ",".join(
    (
        *("id", "display_phone_number", "verified_name", "quality_rating", "status", "throughput", "name_status"),
        *messaging_limit.GRAPH_FIELDS,
        "webhook_configuration",
    )
)
TELLING = frozenset({"token_expired", "permission_lost", "account_not_found", "account_blocked"})
"""Codes of Graph errors that say something of the account rather than of the moment."""


def is_ours(callback_url: str | None, our_callback_url: str) -> bool:
    """Whether what Meta sends there reaches us: the app's own callback, or that of a WABA below it."""
    return callback_url == our_callback_url or (callback_url or "").startswith(our_callback_url + "/")


@dataclass(frozen=True, slots=True)
class Answers:
    """What Graph answered: `data` of `debug_token`, `subscribed_apps` and `phone_numbers` as they are."""

    token: Mapping[str, Any]
    subscribed: Mapping[str, Any]
    phones: Mapping[str, Any]


def answered(held: WabaHealth, answers: Answers, *, our_callback_url: str, app_id: str) -> dict[str, Any]:
    """The fields of `AccountChecked`."""
    expires = answers.token.get("expires_at")
    if answers.token.get("is_valid") is False:
        return refused(our_callback_url, "token_expired", "The access to WhatsApp has expired or was revoked.")
    apps = [_object(_object(each).get("whatsapp_business_api_data")) for each in _list(answers.subscribed.get("data"))]
    found = sorted(
        (_object(each) for each in _list(answers.phones.get("data")) if "id" in _object(each)),
        key=lambda each: str(each["id"]),
    )
    return {
        "our_callback_url": our_callback_url,
        "subscribed": any(str(app.get("id")) == app_id for app in apps),
        "token_expires_at": datetime.fromtimestamp(expires, UTC) if isinstance(expires, int) and expires else None,
        "scopes": sorted(str(scope) for scope in _list(answers.token.get("scopes"))),
        "numbers": [_number(held, phone) for phone in found],
    }


def refused(our_callback_url: str, code: str, message: str) -> dict[str, Any]:
    """The fields of `AccountChecked` where Graph refused for a reason that is one of `TELLING`."""
    return {"our_callback_url": our_callback_url, "error_code": code, "error_message": message}


def difference(held: WabaHealth, fields: Mapping[str, Any], now: datetime) -> AccountChecked | None:
    """The event to publish, or None if it would tell nothing new.

    The same check told twice has the same id: it follows from what was known before and from what was found.
    """
    connection = held.connection
    if connection is None:
        return None
    last = newest(held)
    event = AccountChecked.model_validate(
        {**fields, "id": "", "time": now, "org_id": held.owner, "waba_id": held.waba_id}
    )
    content = event.model_dump(mode="json")
    if last and content == _content(held.waba_id, last) and not any(order(fact) > order(last) for fact in _said(held)):
        return None
    previous = last.id if last else ""
    since = max((fact.id for fact in _said(held)), default="")
    digest = orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
    return event.model_copy(update={"id": fact_id(AccountChecked.type, held.waba_id, previous, since, digest)})


def newest(held: WabaHealth) -> Checked | CheckFailure | None:
    """The newest check that told something, whether Graph answered or refused."""
    return max((each for each in (held.checked, held.check_failed) if each), key=order, default=None)


def _said(held: WabaHealth) -> Iterator[Fact]:
    """Whatever else was said of the things that a check looks at."""
    connection: Connection | None = held.connection
    if connection:
        yield connection
    for number in held.numbers.values():
        yield from (fact for fact in (number.flag, number.name, *number.limits[:1]) if fact)
    failure = held.last_failure
    if failure and failure.code in TELLING:
        yield failure


def _content(waba_id: str, last: Checked | CheckFailure) -> dict[str, Any]:
    plain = last.model_dump(mode="json", exclude={"id", "at", "logged_at"})
    if isinstance(last, CheckFailure):
        plain = refused(last.our_callback_url, last.code, last.message)
    envelope = {"id": "", "time": last.at, "waba_id": waba_id}
    return AccountChecked.model_validate({**plain, **envelope}).model_dump(mode="json")


def _number(held: WabaHealth, phone: Mapping[str, Any]) -> CheckedNumber:
    phone_id = storable(str(phone["id"]))
    configuration = phone.get("webhook_configuration")
    callback_url: str | None = None
    if isinstance(configuration, dict):
        urls = cast(dict[str, Any], configuration)
        levels = ("phone_number", "whatsapp_business_account", "application")
        callback_url = next((storable(str(urls[level])) for level in levels if urls.get(level)), "")
    display, limit = _text(phone.get("display_phone_number")), _text(messaging_limit.limit_of(phone))
    before = next(
        (each for each in (held.checked.numbers if held.checked else ()) if each.phone_number_id == phone_id), None
    )
    heard = held.numbers.get(digits(display or phone_id))
    connected = held.connection.phone_numbers if held.connection else ()
    known = before.messaging_limit if before else None
    if before is None:
        known = next((each.messaging_limit for each in connected if each.phone_number_id == phone_id), None)
    if heard and heard.limits and (held.checked is None or order(heard.limits[0]) > order(held.checked)):
        known = heard.limits[0].tier
    return CheckedNumber(
        phone_number_id=phone_id,
        display_phone_number=display,
        verified_name=_text(phone.get("verified_name")),
        quality_rating=_text(phone.get("quality_rating")),
        status=_text(phone.get("status")),
        throughput=_text(_object(phone.get("throughput")).get("level")),
        messaging_limit=limit,
        messaging_limit_before=known if known and known != limit else before.messaging_limit_before if before else None,
        name_status=_text(phone.get("name_status")),
        callback_url=callback_url,
    )


def _text(value: object) -> str | None:
    return storable(value) if isinstance(value, str) and value else None


def _object(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []
