"""Facts about the media of messages: that one is stored and can be fetched from us, or never will be."""

from pydantic import AwareDatetime

from wabus_events.models.event import WabaEvent
from wabus_events.models.topics import MESSAGES


class MediumEvent(WabaEvent):
    """What became of one message's medium.

    `time` is that of the message, by Meta's clock: who forgets the message forgets this with it.
    """

    phone_number_id: str
    wamid: str
    """The message that has the medium."""
    contact: str
    """With whom, or in which group: as in the events of the message."""
    message_id: str
    """The message's id in our API."""
    media_id: str
    """The medium's id in our API: `GET /media/{media_id}`."""
    kind: str
    """image, video, audio, document or sticker."""
    at: AwareDatetime
    """When it was stored, or given up."""

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.contact}"


class MediumStored(MediumEvent, topic=MESSAGES):
    """A medium was fetched from Meta, its hash compared, and is kept as long as its message."""

    bytes: int
    """How large it is."""
    sha256: str
    """Of its content, hexadecimal."""
    type_told: str | None = None
    """Its MIME type as the message says."""
    type_found: str | None = None
    """Its MIME type by its content; None if nobody knows. Where it is another one, believe this."""


class MediumLost(MediumEvent, topic=MESSAGES):
    """A medium will never be there: Meta no longer has it, or it is not taken. `reason` says which."""

    reason: str
    """Why the last attempt failed: meta_unavailable, rate_limited, no_access, id_ended or store_unavailable. Meta keeps
    a medium for seven days; `hash_differs` and `too_large` end it at once."""
