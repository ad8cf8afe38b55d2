"""A number that a caller gives is digits: not whatever Python, or pydantic for it, would read as one."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.headers import preferred_wait
from wabus_runtime.http.openapi import installed_operations

NUMBER: TypeAdapter[int] = TypeAdapter(Annotated[int, DIGITS])
ODD = (
    "1_0",
    " 10",
    "10 ",
    "+10",
    "-0",
    "1.0",
    "1e1",
    "0x10",
    "１０",
    "١٠",
    "१०",
    "10\n",
    "",
    "true",
    "0b1",
    "∞",
    "1,0",
)


@given(st.text("0123456789_+-. eE١１٣\n\t", max_size=8) | st.text(max_size=4))
def test_only_digits_are_a_number(text: str) -> None:
    try:
        number = NUMBER.validate_python(text)
    except ValidationError:
        return
    assert text.isascii()
    assert text.isdigit()
    assert number == int(text)


@pytest.mark.parametrize("text", ODD)
def test_what_only_looks_like_a_number_is_none(text: str) -> None:
    with pytest.raises(ValidationError):
        NUMBER.validate_python(text)


def test_no_parameter_of_any_endpoint_takes_such_a_number() -> None:
    operations = installed_operations()
    found = [(each.path, name) for each in operations if each.query for name in numbers_of(each.query)]
    assert len(found) >= 4
    taken: list[tuple[str, str, str]] = []
    for operation in operations:
        for name in numbers_of(operation.query) if operation.query else ():
            for text in ODD:
                try:
                    operation.query.model_validate({name: text})  # type: ignore[union-attr]
                except ValidationError:
                    continue
                taken.append((operation.path, name, text))
    assert taken == []


def numbers_of(model: type[BaseModel]) -> Iterator[str]:
    """The names of the fields that may be numbers."""
    for name, field in model.model_fields.items():
        kinds: tuple[Any, ...] = (field.annotation, *get_args(field.annotation))
        if any(kind in (int, float) or int in get_args(kind) for kind in kinds):
            yield name


@pytest.mark.parametrize("text", [each for each in ODD if each not in (" 10", "10 ", "10\n", "1,0")])
def test_nobody_waits_for_so_many_seconds(text: str) -> None:
    assert preferred_wait(make_mocked_request("GET", "/", {"Prefer": f"wait={text}"})) is None
