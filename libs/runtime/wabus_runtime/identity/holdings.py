"""What a service holds of whom: `wabus export` reads it, and `wabus forget` counts what is left of it.

A service declares its own as an entry point of the group `wabus.holdings`. With the `erase` of its projections, which
takes it away, that is all that a service needs so that people can be forgotten in it and told what it holds of them.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Row = dict[str, Any]
"""A row of a table, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and the conditions in SQL by which a row of it is somebody's. None where no row ever is."""

    name: str
    organisation: str | None = None
    """`$1` is the organisation."""
    account: str | None = None
    """`$1` is the WABA. Without `organisation` an organisation has the rows of its accounts."""
    contact: str | None = None
    """`$1` is the contact's id, `$2` the organisation whose contact they are, NULL for all."""
    knows: str | None = None
    """The columns with an organisation and a contact's id, where a contact's rows tell what else they are known by."""
    own: Callable[[Row], Row] | None = None
    """What of a row is told to the organisation whose it is; None for all of it."""


class NotNow(Exception):
    """Somebody is changing the account at this moment. The message says so without naming anybody."""


class Connections(Protocol):
    """The accounts that are connected, by the service that connects them."""

    async def end(self, org_id: str, waba_id: str) -> bool:
        """Disconnect an account, at Meta too as far as its token allows. Returns whether it was connected.

        Raises `NotNow`, `KafkaUnavailable`.
        """
        ...


SaveFile = Callable[[str, Row, Path], Awaitable[bool]]
"""Given a table, a row of it and a folder, writes the file there that the row leads to; whether there is one."""


class FileUnavailable(Exception):
    """A file can't be read now. The message says so without naming anybody."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything of one service that may be of somebody."""

    tables: Sequence[Table] = ()
    """All tables that its migrations make; of one that has parts, the whole."""
    connections: Callable[[], AbstractAsyncContextManager[Connections]] | None = None
    """Reaches the accounts that are connected, where the service connects them; reads its own settings."""
    projections: Sequence[str] = ()
    """Those that take in who was forgotten, beside what can be rebuilt: each is waited for where it has ever run."""
    files: Callable[[], SaveFile] | None = None
    """Reaches what the service holds beside its tables; reads its own settings. It raises `FileUnavailable`."""


_IN_OUTBOX = r"""
    topic IN ('messages.v1', 'sends.v1', 'conversations.v1') AND ($2::text IS NULL OR lane = $2)
    AND strpos(
        regexp_replace(
            convert_from(value, 'UTF8'), '"(body|caption|description|name|payload|text|title)":"[^"]*"', '', 'g'
        ),
        to_json($1::text)::text
    ) > 0
"""
"""A number that stands in what somebody wrote makes an event nobody's (`wabus_whatsapp.forgetting`)."""

RUNTIME = Holdings(
    (
        Table("projection_offsets"),
        Table("erasures"),
        Table("tickets", "org_id = $1"),
        Table("outbox", "lane = $1", "strpos(convert_from(value, 'UTF8'), to_json($1::text)::text) > 0", _IN_OUTBOX),
    )
)
"""The tables that each service's migrations bring along."""
