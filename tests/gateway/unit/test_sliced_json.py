"""A body that is read in slices is the same JSON as one that is read at once, and is refused where that is."""

import json
from collections.abc import Generator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_events.webhooks.values import Unwritable
from wabus_gateway.webhooks import sliced_json as payload
from wabus_gateway.webhooks.sliced_json import DEEPEST, TooManyParts, in_slices, parsed

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=40)
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n\t", "\n: ")])


def returned(slices: Generator[None, None, Any]) -> Any:
    try:
        while True:
            next(slices)
    except StopIteration as stop:
        return stop.value


def read(text: str, window: int) -> Any:
    return returned(in_slices(text, window))


@given(JSON, SPACES, st.booleans(), st.integers(50, 120))
def test_any_json_read_in_slices_is_the_same(
    value: Any, separators: tuple[str, str], ascii_: bool, window: int
) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_)
    assert repr(read(f" {text}\n", window)) == repr(json.loads(text))


@given(
    JSON,
    st.integers(0, 80),
    st.sampled_from(["", ",", "}", "]", '"', "1", "\x00", "e", "\\", " x"]),
    st.integers(50, 120),
)
def test_what_is_no_json_is_none_in_slices_either(value: Any, at: int, instead: str, window: int) -> None:
    text = json.dumps(value)
    broken = text[:at] + instead + text[at + 1 :]
    try:
        expected = json.loads(broken)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - whichever way it is no JSON
            read(broken, window)
    else:
        assert repr(read(broken, window)) == repr(expected)


@pytest.mark.parametrize("number", ["1.5e-7", "-0.25", "12345678901234567890123", "1E+10", "-1"])
@pytest.mark.parametrize("window", range(1, 40))
def test_a_number_that_a_slice_cuts_is_that_number(number: str, window: int) -> None:
    if window >= len(number) + 5:  # of a webhook no number fills a slice, which has 1,024 characters
        assert read(f'["a", {number}, {{"b": {number}}}]', window) == [
            "a",
            json.loads(number),
            {"b": json.loads(number)},
        ]


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "-Infinity", "1e400", "[1] 2", "", " ", "{1:2}", '{"a"}', "[1,]"]
)
def test_what_python_reads_but_json_is_not_is_refused(text: str) -> None:
    for window in (10, 100):
        with pytest.raises(ValueError):  # noqa: PT011
            read(text, window)


@pytest.mark.parametrize("size", [3, 100, 3_000])
def test_a_list_is_read_in_windows_however_long_its_items_are_and_whatever_is_between_them(size: int) -> None:
    value = [{"a": "x" * (size + size * number % 7), "b": [number] * 40} for number in range(200)]
    text = json.dumps({"first": value, "then": {"deep": [[[value[:3]]]]}})
    for window in (64, 1_500, 20_000):
        assert read(text, window) == json.loads(text)


def test_deeper_than_libraries_go_is_refused_and_not_followed() -> None:
    with pytest.raises(RecursionError):
        read("[" * 100_000, 16)
    assert read("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1), 16) is not None


def test_too_many_parts_are_counted_before_they_are_read() -> None:
    with pytest.raises(TooManyParts):
        returned(parsed(b"[" + b"{}," * payload.MOST_PARTS + b"{}]"))


def test_only_the_change_that_events_cannot_carry_is_set_apart_in_a_large_body() -> None:
    changes = ",".join([f'{{"field":"f","value":{{"a":"{"x" * 1000}"}}}}'] * 100)
    body = f'{{"entry":[{{"changes":[{changes},{{"field":"g","value":"\\ud83d"}}]}}]}}'.encode()
    found = returned(parsed(body))["entry"][0]["changes"]
    assert found[-1] == Unwritable("g", b'{"field": "g", "value": "\\ud83d"}')
    assert [type(change) for change in found[:-1]] == [dict] * 100


@pytest.mark.parametrize(
    ("text", "huge"),
    [
        ('{"user_id": "US.13491208655302741918"}', False),  # in every webhook since April 2026
        ('{"user_id": "US.ENT.11815799212886844830"}', False),
        ('{"a": 0.12345678901234567890}', False),
        ('{"a": 12345678901234567890123}', True),
        ('{"a": -12345678901234567890123}', True),
        ('{"a": "US.13491208655302741918", "b": 12345678901234567890123}', True),
        ('{"a": "12345678901234567890123"}', True),  # a text, but looked at like a number
        ("12345678901234567890123", True),
        ("{}", False),
    ],
)
def test_only_a_number_that_may_not_be_passed_on_exactly_takes_the_slow_parser(text: str, huge: bool) -> None:
    assert payload.has_huge_number(text.encode()) is huge


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,16})\.[0-9]{19,40}(e-?[0-9]{1,2})?", fullmatch=True))
def test_a_long_fraction_is_the_same_number_for_every_parser(number: str) -> None:
    assert not payload.has_huge_number(number.encode())
    assert orjson.loads(number) == json.loads(number)
