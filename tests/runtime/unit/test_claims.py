"""Which claims of a token can be names: what passes can be stored and told to others, whatever it is."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_runtime.http.auth import is_moment, is_name

texts = st.text(st.characters(), max_size=12) | st.text("a\0\ud800\udfff\n\x7f\u2028é😀 ", max_size=6)


@given(texts)
def test_a_name_can_be_stored_in_postgresql_json_and_kafka(text: str) -> None:
    if is_name(text, 8):
        assert 0 < len(text) <= 8
        assert "\0" not in text
        assert orjson.loads(orjson.dumps(text)) == text == text.encode().decode()


@given(st.none() | st.integers() | st.lists(texts) | st.dictionaries(texts, texts))
def test_what_is_no_text_is_no_name(claim: object) -> None:
    assert not is_name(claim, 8)


@pytest.mark.parametrize("text", ["", " ", "a\0", "\ud800", "a\ud83d", "a\nb", "\x7f", "\u2028", "\u202ea", "a" * 9])
def test_what_cannot_be_stored_or_read_is_no_name(text: str) -> None:
    assert not is_name(text, 8)


@given(st.integers() | st.floats() | texts | st.booleans() | st.none() | st.lists(st.integers()))
def test_a_moment_is_a_number_that_a_calendar_has(claim: object) -> None:
    if is_moment(claim):
        assert type(claim) in (int, float)
        assert datetime.fromtimestamp(claim, UTC).year <= 9999  # type: ignore[arg-type]


@pytest.mark.parametrize("claim", ["1764000000", "١٧٦٤", "1_0", 1e308, float("nan"), float("inf"), True, -1])
def test_what_only_looks_like_a_moment_is_none(claim: object) -> None:
    assert not is_moment(claim)
