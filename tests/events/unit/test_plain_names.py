"""Who asked for something, as releases before 0.3 wrote it, reaches nobody who reads events."""

import orjson
import pytest
from wabus_events import AccountCheckRequested, AccountConnected, Event, TemplateSyncRequested, decode, encode
from wabus_events.testing import example
from wabus_events.wire.plain_names import ASKED_BY

KINDS = (AccountConnected, AccountCheckRequested, TemplateSyncRequested)


def read_as(event: Event, name: object) -> object:
    """What is read of who asked, where a record says this."""
    (field,) = [each for each in ASKED_BY if each in type(event).model_fields]
    record = encode(event, "/wabus/test")
    value = orjson.dumps({**orjson.loads(record.value or b""), field: name})
    return getattr(decode(record.headers, value), field)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ann@example.com", "auth0|42", "", "Hmac:x"])
def test_a_plain_name_is_read_as_nobodys(kind: type[Event], name: str) -> None:
    assert read_as(example(kind), name) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["hmac:5f2b0c1d9e7a4f3386c2d1b0a9e8f7c6", "wabus connect", None])
def test_a_name_that_says_nothing_of_a_person_is_read_as_it_is(kind: type[Event], name: str | None) -> None:
    assert read_as(example(kind), name) == name


def test_every_field_that_says_who_asked_is_known() -> None:
    named = {name for kind in KINDS for name in kind.model_fields if name.endswith("_by")}
    assert named == set(ASKED_BY)
