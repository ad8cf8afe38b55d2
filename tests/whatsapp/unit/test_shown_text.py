"""A name in a sentence of ours turns nothing but itself."""

import pytest
from wabus_whatsapp.text.shown import isolated


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Lucky Shrub", "\u2068Lucky Shrub\u2069"),
        ("\u202eTeschoo\u202c", "\u2068Teschoo\u2069"),
        ("\u2067متجر\u2069\u200f", "\u2068متجر\u2069"),
    ],
)
def test_a_name_is_isolated_and_freed_from_what_turns_text(name: str, shown: str) -> None:
    assert isolated(name) == shown
