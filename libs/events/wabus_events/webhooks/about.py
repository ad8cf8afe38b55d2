"""Whom a part of a webhook is about, and what is kept of a part that has no model. Pure."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple, TypeGuard

from wabus_events.models.event import Event, fact_id
from wabus_events.models.messages.messages import Unrecognised
from wabus_events.webhooks.values import Unwritable, digest, json_of

Owner = Callable[[str], str | None]
"""The organisation that has a WABA connected, or None."""


class About(NamedTuple):
    """Whom a part of a webhook is about, and when Meta says that it happened."""

    waba_id: str | None
    entry_time: datetime | None
    received_at: datetime
    org_id: str | None = None
    """The organisation that has the account connected."""
    app_id: str | None = None
    """Our own app's, to know what Meta tells of others."""
    portfolio_id: str | None = None
    """The business portfolio that the entry is for, where that is not the account's own entry."""
    unrecognised_too: bool = False
    """Whether what has a model only since this release is told as `Unrecognised` too, as the release before did."""

    @property
    def time(self) -> datetime:
        return self.entry_time or self.received_at

    @property
    def entry_id_parts(self) -> tuple[str, ...]:
        """What tells the same words in two entries apart. Not when it was received: a repetition is the same fact."""
        time = (self.entry_time.isoformat(),) if self.entry_time else ()
        return (*time, *present(self.portfolio_id))

    def id_of_unrecognised(self, value: Any, field: str | None) -> str:
        """The id of a part that is kept as it is."""
        return fact_id(Unrecognised.type, self.waba_id or "", field or "", digest(value), *self.entry_id_parts)


def about_change(entry: About, field: Any, value: Any, owner: Owner) -> About:
    """Whom a change is about: the account that it names, else its entry's.

    What Meta tells a partner is in an entry of the partner's business portfolio: `partner_solutions` always, and
    those events of `account_update` that have a `waba_info`.
    Source: Meta, "account_update webhook reference", "partner_solutions webhook reference".
    """
    match field, value:
        case "partner_solutions", _:
            return entry._replace(waba_id=None, org_id=None, portfolio_id=entry.waba_id)
        case "account_update", {"waba_info": {"waba_id": named}} if named and is_id(named):
            waba_id = str(named)
            if waba_id == entry.waba_id:
                return entry
            return entry._replace(waba_id=waba_id, org_id=owner(waba_id), portfolio_id=entry.waba_id)
        case _:
            return entry


def unrecognised(value: Any, about: About, field: str | None, reason: str) -> Iterator[Event | None]:
    """A part that has no model, whole; as bytes where something in it was set apart that no event can carry."""
    try:
        identity = about.id_of_unrecognised(value, field)
    except TypeError:
        yield from kept_as_bytes(Unwritable(field, json_of(value)), about, reason)
        return
    yield  # 3 MB take 8 ms to digest, and as much again to encode
    yield Unrecognised(
        id=identity,
        time=about.time,
        org_id=about.org_id,
        waba_id=about.waba_id,
        portfolio_id=about.portfolio_id,
        field=field,
        reason=reason,
        value=value,
    )


def kept_as_bytes(part: Unwritable, about: About, reason: str) -> Iterator[Event | None]:
    """A part of a change that can't be passed on as JSON, as the bytes of its JSON."""
    digest = hashlib.sha256(part.body).hexdigest()
    yield
    yield Unrecognised(
        id=fact_id(Unrecognised.type, about.waba_id or "", digest, *about.entry_id_parts),
        time=about.time,
        org_id=about.org_id,
        waba_id=about.waba_id,
        portfolio_id=about.portfolio_id,
        field=part.field,
        reason=reason,
        body=base64.b64encode(part.body).decode(),
    )


def is_id(value: Any) -> TypeGuard[str | int]:
    return isinstance(value, str | int) and not isinstance(value, bool)


def present(part: str | None) -> tuple[str, ...]:
    return () if part is None else (part,)
