"""The ids of persons, conversations and messages, which services make alike: see `wabus_whatsapp.ids`."""

from wabus_whatsapp.ids import Ids, Kind, message_id

__all__ = ["Ids", "Kind", "message_id"]
