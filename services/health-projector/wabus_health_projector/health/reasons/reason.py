"""A reason for a verdict: what is wrong, in a stable code and in words, since when, and what to do about it."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["failing", "degraded", "pending", "notice"]
SEVERITIES: tuple[Severity, ...] = ("failing", "degraded", "pending", "notice")
"""The worst first."""


class Action(BaseModel):
    """What can be pressed about a reason."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["reconnect", "sync", "check", "link"]
    """`reconnect` sends the person through Meta's dialog again, `sync` compares templates, `check` asks Meta how the
    account is, `link` opens a page of Meta's."""
    href: str
    """Of a link the page, else our endpoint that does it: GET /whatsapp/connect, POST /templates/sync (with the
    `waba_id`), POST /webhook/health/check."""


class Reason(BaseModel):
    model_config = ConfigDict(frozen=True)

    code: str
    """Stable: programs may depend on it."""
    severity: Severity
    """What the status is at best while this lasts. A `notice` is worth knowing and leaves the status alone."""
    message: str
    """One friendly sentence for the customer's people."""
    remedy: str
    """What they should do."""
    action: Action | None = None
    """What does it, where something can be pressed."""
    since: datetime | None = None
    waba_id: str | None = None
