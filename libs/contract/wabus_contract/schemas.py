"""JSON Schema (2020-12) of each event's value, made from its model and the docstrings beneath its fields."""

import ast
import inspect
import textwrap
from functools import cache
from typing import Any

from pydantic import BaseModel
from wabus_events.models.event import Event

from wabus_contract.vocabulary import FIELDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(kind: type[Event]) -> dict[str, Any]:
    """The schema of the record's value. Fields with a default are optional: records from before they existed lack them.

    Nothing forbids further fields: readers ignore what they do not know.
    """
    schema = kind.model_json_schema(mode="serialization")
    for name in Event.model_fields:
        schema["properties"].pop(name, None)
    models = {model.__name__: model for model in models_in(kind)}
    _describe(schema, kind)
    for name, part in schema.get("$defs", {}).items():
        if name in models:
            _describe(part, models[name])
    required = [name for name in schema.pop("required", []) if name not in Event.model_fields]
    definitions = schema.pop("$defs", {})
    return {
        "$schema": DIALECT,
        "$id": f"urn:{kind.type.replace('.', ':')}",
        "title": schema.pop("title"),
        "description": schema.pop("description", ""),
        "x-kafka": {
            "topic": kind.topic.name,
            "partitions": kind.topic.partitions,
            "compacted": kind.topic.compacted,
        },
        "type": schema.pop("type"),
        "properties": schema.pop("properties"),
        "required": required,
        **schema,
        **({"$defs": dict(sorted(definitions.items()))} if definitions else {}),
    }


@cache
def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The docstring beneath each field, inherited ones included."""
    docs: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(body, ast.ClassDef)  # noqa: S101
        for field, below in zip(body.body, body.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = inspect.cleandoc(text)
                case _:
                    pass
    return docs


def models_in(annotation: Any) -> set[type[BaseModel]]:
    """Every model that an annotation reaches."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        parts = (models_in(field.annotation) for field in annotation.model_fields.values())
        return {annotation}.union(*parts)
    return set[type[BaseModel]]().union(*map(models_in, getattr(annotation, "__args__", ())))


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    docs = field_docs(model)
    if model.__doc__ and "__doc__" in model.__dict__:
        schema["description"] = inspect.cleandoc(model.__doc__)
    for name, part in schema.get("properties", {}).items():
        part.pop("title", None)
        if "$ref" not in part and (about := docs.get(name) or FIELDS.get(name)):
            part["description"] = about
