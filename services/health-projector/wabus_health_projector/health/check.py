"""What Graph says of a connected account, as a fact, and whether that differs from what is known. Pure.

Sources: Meta's "Debug Token", "WhatsApp Business Account", "WhatsApp Business Account, subscribed_apps", "WhatsApp
Business Phone Number", "Overriding the callback URL" (`webhook_configuration`), "Subscriptions edge".
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
from wabus_events import AccountChecked, CheckedNumber, fact_id
from wabus_events.models import messaging_limit
from wabus_events.webhooks.values import list_of, moment, object_of
from wabus_whatsapp.accounts import ACCOUNT_FIELDS, NUMBER_FIELDS, AccountDetails, account_details, number_details
from wabus_whatsapp.sending.health import can_send, restrictions
from wabus_whatsapp.text.stored import sentence, storable
from wabus_whatsapp.webhook_fields import Subscription

from wabus_health_projector.health.state import Checked, CheckFailure, Connection, Fact, WabaHealth, digits, order

OPTIONAL_PHONE_FIELDS = (
    *("name_status", "webhook_configuration", "health_status"),
    *messaging_limit.GRAPH_FIELDS,
    *NUMBER_FIELDS,
)
OPTIONAL_ACCOUNT_FIELDS = (*ACCOUNT_FIELDS, "health_status")
DETAILS = tuple(AccountDetails.__dataclass_fields__)
HOST_MOST = 253  # characters (RFC 1035)
TRY_AGAIN = timedelta(seconds=15)
"""After subscribing has failed, as it does until Meta reaches a gateway that was just started; twice as long after each
that fails."""
TRY_AGAIN_MOST = timedelta(hours=6)
REFUSED_FOR = timedelta(days=1)  # in which a field that Meta did not take is not tried again
CONCLUSIVE_ERRORS = frozenset({"token_expired", "permission_lost", "account_not_found", "account_blocked"})
"""Codes of Graph errors that say something of the account rather than of the moment."""


def is_ours(callback_url: str | None, our_callback_url: str) -> bool:
    """Whether what Meta sends there reaches us: the app's own callback, or that of a WABA below it."""
    return callback_url == our_callback_url or (callback_url or "").startswith(our_callback_url + "/")


@dataclass(frozen=True, slots=True)
class Answers:
    """What Graph answered: `data` of `debug_token`, `subscribed_apps`, `phone_numbers` and the account as they are."""

    token: Mapping[str, Any]
    subscribed: Mapping[str, Any]
    phones: Mapping[str, Any]
    account: Mapping[str, Any] = field(default_factory=dict[str, Any])
    app: Subscription | None = None
    """What our app is subscribed to, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Tries:
    """What became of subscribing the app to fields: how many times in a row it failed, and when it was tried last."""

    count: int = 0
    at: datetime | None = None
    refused: tuple[str, ...] = ()
    """The fields that Meta did not take."""

    @property
    def pause(self) -> timedelta:
        """How long to wait after the last try, none where it succeeded."""
        return min(TRY_AGAIN * 2 ** min(self.count - 1, 20), TRY_AGAIN_MOST) if self.count else timedelta(0)


def to_subscribe(app: Subscription, tries: Tries, our_callback_url: str, now: datetime) -> tuple[str, ...]:
    """The fields that the app should be subscribed to now.

    None where its callback is another than ours, for subscribing would take it away from them, and none so soon after a
    try that failed. A field that Meta did not take has to wait for a day.
    """
    if not app.may_be_changed(our_callback_url):
        return ()
    since = now - tries.at if tries.at else timedelta.max
    if since < tries.pause:
        return ()
    waiting = tries.refused if since < REFUSED_FOR else ()
    return tuple(name for name in app.missing(our_callback_url) if name not in waiting)


def host_of(url: str) -> str:
    """Where a callback is, without what may be a secret of its address."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return sentence(host, HOST_MOST) or "another address"


def answered(held: WabaHealth, answers: Answers, *, our_callback_url: str, app_id: str) -> dict[str, Any]:
    """The fields of `AccountChecked`."""
    if answers.token.get("is_valid") is False:
        return refused(our_callback_url, "token_expired", "The access to WhatsApp has expired or was revoked.")
    apps = [
        object_of(object_of(each).get("whatsapp_business_api_data")) for each in list_of(answers.subscribed.get("data"))
    ]
    found = sorted(
        (object_of(each) for each in list_of(answers.phones.get("data")) if "id" in object_of(each)),
        key=lambda each: str(each["id"]),
    )
    return {
        "our_callback_url": our_callback_url,
        "subscribed": any(str(app.get("id")) == app_id for app in apps),
        "token_expires_at": moment(answers.token.get("expires_at")),
        "scopes": sorted(str(scope) for scope in list_of(answers.token.get("scopes"))),
        "numbers": [_number(held, phone) for phone in found],
        **_details(held, answers.account),
        "can_send_message": can_send(answers.account.get("health_status")),
        "restrictions": restrictions(each.get("health_status") for each in (answers.account, *found)),
        **_app(held, answers.app, our_callback_url),
    }


def _details(held: WabaHealth, account: Mapping[str, Any]) -> dict[str, Any]:
    """What Graph says of the account, and what is known of it where Graph is silent."""
    return asdict(_joined(account_details(account), details_known(held)))


def details_known(held: WabaHealth) -> AccountDetails:
    """Whose the account is and how it is charged: of each, the newest that a check or the connection told."""
    facts = sorted((each for each in (held.checked, held.connection) if each), key=order)
    told = (AccountDetails(**{name: getattr(fact, name) for name in DETAILS}) for fact in facts)
    return reduce(lambda known, newer: _joined(newer, known), told, AccountDetails())


def _joined(newer: AccountDetails, known: AccountDetails) -> AccountDetails:
    """Both; a zone's number and its name go together, for the name of another number would be another zone's."""
    both: dict[str, Any] = {
        name: getattr(known, name) if getattr(newer, name) is None else getattr(newer, name) for name in DETAILS
    }
    zone_of = known if newer.time_zone_id is None else newer
    return replace(AccountDetails(**both), time_zone=zone_of.time_zone)


def _app(held: WabaHealth, app: Subscription | None, our_callback_url: str) -> dict[str, Any]:
    """What is not known now stays as it was known, so that nothing is told when the app could not be asked once."""
    if app is None:
        before = held.checked
        missing = before.fields_missing if before else None
        return {
            "fields_missing": None if missing is None else list(missing),
            "app_callback_host": before.app_callback_host if before else None,
        }
    host = host_of(app.callback_url or "") if app.is_elsewhere(our_callback_url) else None
    return {"fields_missing": list(app.missing(our_callback_url)), "app_callback_host": host}


def refused(our_callback_url: str, code: str, message: str) -> dict[str, Any]:
    """The fields of `AccountChecked` where Graph refused for a reason that is one of `CONCLUSIVE_ERRORS`."""
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
    if (
        last
        and content == _content(held.waba_id, last)
        and not any(order(fact) > order(last) for fact in _other_facts(held))
    ):
        return None
    previous = last.id if last else ""
    since = max((fact.id for fact in _other_facts(held)), default="")
    digest = orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
    return event.model_copy(update={"id": fact_id(AccountChecked.type, held.waba_id, previous, since, digest)})


def newest(held: WabaHealth) -> Checked | CheckFailure | None:
    """The newest check that told something, whether Graph answered or refused."""
    return max((each for each in (held.checked, held.check_failed) if each), key=order, default=None)


def _other_facts(held: WabaHealth) -> Iterator[Fact]:
    """Whatever else was said of the things that a check looks at."""
    connection: Connection | None = held.connection
    if connection:
        yield connection
    for number in held.numbers.values():
        yield from (fact for fact in (number.flag, number.name, *number.limits[:1]) if fact)
    failure = held.last_failure
    if failure and failure.code in CONCLUSIVE_ERRORS:
        yield failure


def _content(waba_id: str, last: Checked | CheckFailure) -> dict[str, Any]:
    plain = last.model_dump(mode="json", exclude={"id", "at", "logged_at"})
    if isinstance(last, CheckFailure):
        plain = refused(last.our_callback_url, last.code, last.message)
    envelope = {"id": "", "time": last.at, "waba_id": waba_id}
    return AccountChecked.model_validate({**plain, **envelope}).model_dump(mode="json")


def _number(held: WabaHealth, phone: Mapping[str, Any]) -> CheckedNumber:
    phone_id, details = storable(str(phone["id"])), number_details(phone)
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
        status=details.status,
        throughput=details.throughput,
        messaging_limit=limit,
        messaging_limit_before=known if known and known != limit else before.messaging_limit_before if before else None,
        name_status=_text(phone.get("name_status")),
        callback_url=callback_url,
        platform_type=details.platform_type,
        coexistence=details.coexistence if details.coexistence is not None else before.coexistence if before else None,
        can_send_message=can_send(phone.get("health_status")),
    )


def _text(value: object) -> str | None:
    return storable(value) if isinstance(value, str) and value else None
