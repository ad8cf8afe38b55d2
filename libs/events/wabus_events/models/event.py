"""What every event is: a frozen pydantic model that knows its type, its topic and its key."""

from collections.abc import Callable
from hashlib import sha1
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from wabus_events.models.topics import Topic

NAMESPACE = UUID("b7f1b8ac-3c0c-5d9a-9a67-6a1f6c2c0a55")
"""The UUIDv5 namespace (RFC 9562) of every wabus event id. Changing it would un-duplicate all of history."""

EVENTS: dict[str, "type[Event]"] = {}
"""Every event class by its CloudEvents type. Defining a subclass of `Event` is what adds it."""


class Event(BaseModel):
    """A fact. Declare one as `class TemplatesSynced(Event, topic=TEMPLATES)` and everything else finds it.

    The fields below are the envelope: they travel as CloudEvents attributes in Kafka headers, the fields of
    a subclass as the JSON value. Fields that a reader does not know are ignored, so new optional fields may
    be added to a published version; anything else needs `version=2` and an `upcast` from version 1.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    type: ClassVar[str]
    topic: ClassVar[Topic]
    version: ClassVar[int]

    id: str = Field(exclude=True)
    """The same fact has the same id, however often it is delivered: drop what you have seen."""
    time: AwareDatetime = Field(exclude=True)
    """When it happened, as its source tells it (for a webhook, Meta's own time). Aware, UTC."""
    org_id: str | None = Field(default=None, exclude=True)
    """The platform's organisation, or None while nobody has connected the WABA."""
    source: str = Field(default="", exclude=True)
    """Which service says so: `/wabus/gateway`, `/wabus/template-sync`, …"""
    traceparent: str | None = Field(default=None, exclude=True)
    """W3C trace context of the webhook or request that led to this."""

    def __init_subclass__(cls, *, topic: Topic | None = None, version: int = 1, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if topic is None:
            return
        cls.topic = topic
        cls.version = version
        cls.type = f"wabus.{cls.__name__}.v{version}"
        if cls.type in EVENTS:
            raise TypeError(f"two events are called {cls.type}")
        EVENTS[cls.type] = cls

    @property
    def subject(self) -> str | None:
        """What it is about: the WABA id. Also the CloudEvents subject."""
        return None

    @property
    def key(self) -> str:
        """The Kafka key: what shares it stays in order."""
        return self.subject or ""


class WabaEvent(Event):
    """An event about one WhatsApp Business account."""

    waba_id: str

    @property
    def subject(self) -> str | None:
        return self.waba_id


E = TypeVar("E", bound=Event)


def like(event: E) -> Callable[[dict[str, Any]], E]:
    """What makes events as this one is, of other fields: in a sixth of a validation's time, for nothing is checked.

    They are all that it has, in the order of its model, and of the right types.
    """
    new, model, names = object.__new__, event.__class__, event.__pydantic_fields_set__

    def made(fields: dict[str, Any]) -> E:
        another = new(model)
        _put_fields(another, fields)
        _put_names(another, names)
        _put_extra(another, None)
        _put_private(another, None)
        return another

    return made


# What every model consists of. It is frozen, so `setattr` refuses, and `object.__setattr__` takes half as long again.
_put_fields, _put_names, _put_extra, _put_private = (
    BaseModel.__dict__[slot].__set__
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def fact_id(event_type: str, *parts: str | int) -> str:
    """The deterministic id of a fact: a UUIDv5 over its event type and what makes it that very fact.

    >>> fact_id("wabus.MessageReceived.v1", "wamid.A") == fact_id("wabus.MessageReceived.v1", "wamid.A")
    True
    """
    digest = sha1(_NAMESPACE_BYTES + _joined((event_type, *parts)), usedforsecurity=False)
    return _uuid(digest.hexdigest())


def fact_ids(event_type: str, *shared: str | int) -> Callable[..., str]:
    """The same for thousands of facts that begin with the same parts: what makes an id of its others, at least one.

    >>> fact_ids("wabus.MessageImported.v1", "1")("wamid.A") == fact_id("wabus.MessageImported.v1", "1", "wamid.A")
    True
    """
    begun = sha1(_NAMESPACE_BYTES + _joined((event_type, *shared, "")), usedforsecurity=False).copy

    def id_of(*parts: str | int) -> str:
        digest = begun()
        digest.update(_joined(parts))
        return _uuid(digest.hexdigest())

    return id_of


def _joined(parts: tuple[str | int, ...]) -> bytes:
    try:
        return "\x1f".join(parts).encode()  # pyright: ignore[reportArgumentType, reportCallIssue]
    except TypeError:  # a number among them, which is rare
        return "\x1f".join(map(str, parts)).encode()


def _uuid(digest: str) -> str:
    """The UUIDv5 of a SHA-1 in hexadecimal digits; `uuid.uuid5` takes six times as long, and every event has an id."""
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"


_NAMESPACE_BYTES = NAMESPACE.bytes
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
