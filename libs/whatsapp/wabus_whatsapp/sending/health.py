"""What Meta itself says keeps an account or a number from sending: `health_status`, read into our models. Pure.

Source: Meta, "Messaging and Calling Health Status". A node's answer tells of all that takes part in sending from it:
PHONE_NUMBER, WABA, BUSINESS, APP (and MESSAGE_TEMPLATE, FLOW, which we never ask).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from wabus_events.models.accounts import SendingError, SendingRestriction
from wabus_events.webhooks.values import list_of, object_of

from wabus_whatsapp.text.stored import sentence

AVAILABLE, LIMITED, BLOCKED = "AVAILABLE", "LIMITED", "BLOCKED"
RESTRICTIONS_MOST = 50
ERRORS_MOST = 10  # of one entity
TEXT_MOST = 400  # characters


def can_send(health_status: object) -> str | None:
    """The whole node's AVAILABLE, LIMITED or BLOCKED, None where Graph does not say."""
    return _word(object_of(health_status).get("can_send_message"))


def restrictions(health_statuses: Iterable[object]) -> list[SendingRestriction]:
    """Every entity that is not AVAILABLE, each once whichever nodes told of it, in an order of their own."""
    found: dict[tuple[str, str], SendingRestriction] = {}
    for status in health_statuses:
        for entity in list_of(object_of(status).get("entities")):
            read = _restriction(object_of(entity))
            if read:
                found.setdefault((read.entity_type, read.entity_id or ""), read)
    return [found[key] for key in sorted(found)][:RESTRICTIONS_MOST]


def _restriction(entity: Mapping[str, Any]) -> SendingRestriction | None:
    kind, can = _word(entity.get("entity_type")), _word(entity.get("can_send_message"))
    if kind is None or can not in (LIMITED, BLOCKED):
        return None
    errors = [_error(object_of(each)) for each in list_of(entity.get("errors"))[:ERRORS_MOST]]
    told = [sentence(each, TEXT_MOST) for each in list_of(entity.get("additional_info"))[:ERRORS_MOST]]
    return SendingRestriction(
        entity_type=kind,
        entity_id=sentence(str(entity["id"]), 64) if isinstance(entity.get("id"), int | str) else None,
        can_send_message=can,
        errors=[each for each in errors if each],
        additional_info=[each for each in told if each],
    )


def _error(error: Mapping[str, Any]) -> SendingError | None:
    code = error.get("error_code")
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) <= 9:
        code = int(code)
    read = SendingError(
        error_code=code if isinstance(code, int) and not isinstance(code, bool) and 0 <= code < 2**31 else None,
        description=sentence(error.get("error_description"), TEXT_MOST),
        possible_solution=sentence(error.get("possible_solution"), TEXT_MOST),
    )
    return read if read != SendingError() else None


def _word(value: object) -> str | None:
    return sentence(value.upper(), 40) if isinstance(value, str) and value else None
