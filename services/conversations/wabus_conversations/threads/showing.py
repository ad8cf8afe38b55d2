"""What a message shows with what was said about it later: reactions, edits, and that it was taken back."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, cast

Json = dict[str, Any]


class Remark(NamedTuple):
    """A reaction, an edit or a revoke, as its row has it. It may be there before the message that it is about."""

    message_id: str
    kind: str
    at: datetime
    tie: int
    """What orders those of one second: where in the log it was."""
    by: str
    """Whose it is: a person, or the business."""
    content: Json
    """Meta's message."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a message."""

    revoked_at: datetime | None = None
    """Since when it is taken back: then nothing that it said is shown."""
    edited_at: datetime | None = None
    edited: Json | None = None
    """What it says since, as Meta sends a message."""
    reactions: dict[str, str] = field(default_factory=dict[str, str])
    """The emoji of each who has one on it."""


def shown(remarks: Iterable[Remark]) -> Shown:
    """What stands of the remarks about one message: the newest of each kind by Meta's time, whatever came first.

    Meta's times are whole seconds, in which people change their mind: of those of one second the later in the log.
    """
    ordered = sorted(remarks, key=lambda remark: (remark.at, remark.tie, remark.message_id))
    revoked = [remark.at for remark in ordered if remark.kind == "revoke"]
    edits = [remark for remark in ordered if remark.kind == "edit"]
    reactions: dict[str, str] = {}
    for remark in ordered:
        if remark.kind == "reaction":
            emoji = _part(remark.content, "reaction").get("emoji")
            reactions[remark.by] = emoji if isinstance(emoji, str) else ""
    standing = {by: emoji for by, emoji in reactions.items() if emoji}
    if revoked:
        return Shown(revoked_at=revoked[0], reactions=standing)
    if not edits:
        return Shown(reactions=standing)
    edited = _part(_part(edits[-1].content, "edit"), "message")
    return Shown(edited_at=edits[-1].at, edited=edited, reactions=standing)


def _part(content: Json, name: str) -> Json:
    found = content.get(name)
    return cast(Json, found) if isinstance(found, dict) else {}
