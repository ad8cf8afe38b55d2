"""What Meta says of a template, as typed values, and what differs between two listings.

Pure: no I/O, no clock. The shape is that of Meta's "WhatsApp Message Template" reference and "Message templates,
components"; whatever it does not name is kept as it came.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import urlsplit

import orjson
from wabus_events import Body, Footer, Header, Template

from wabus_whatsapp.templates.components import Parts, are_objects
from wabus_whatsapp.text.stored import storable

MAX_DEPTH = 60  # levels of JSON; a carousel has 8, and serialisers give up at 255
APPROVED = "APPROVED"
COMPARED = tuple(Template.model_fields.keys() - {"carousel", "limited_time_offer", "fingerprint"})
"""The fields of `Template` that make a difference; the others follow from these."""


class UnreadableTemplate(Exception):
    """Meta listed something that can't be told apart from others: it has no id or no name."""


@dataclass(frozen=True, slots=True)
class Change:
    """A template that is other than it was told, what that was, and in which fields of `Template` they differ.

    There are none where it is told once more because followers may hold something else.
    """

    template: Template
    previous: Template
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Differences:
    """What makes one set of templates into another; each part in the order of template ids."""

    added: tuple[Template, ...] = ()
    changed: tuple[Change, ...] = ()
    removed: tuple[Template, ...] = ()
    confirmed: tuple[Template, ...] = ()
    """The same in all but the fingerprint."""

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    @property
    def numbers(self) -> dict[str, int]:
        changed = sum(1 for change in self.changed if change.fields)
        return {"added": len(self.added), "changed": changed, "removed": len(self.removed)}


class Aspects(NamedTuple):
    """What webhooks may tell of a template without telling it whole."""

    status: str
    category: str
    quality: str | None
    rejected_reason: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    total: int
    approved: int
    by_status: dict[str, int]


def parse_template(raw: Any, fingerprint: str | None = None) -> Template:
    """A template as Graph lists it, with its `fingerprint_of` if that is known. Raises only `UnreadableTemplate`.

    What has no field, or not the shape it should have, is kept in `raw` or `other_components`.
    """
    return parse_readable(*readable(raw), fingerprint)


def parse_readable(identifier: str, rest: dict[str, Any], fingerprint: str | None) -> Template:
    """The same of what is `readable` already; takes the dict apart."""
    name = rest.pop("name")
    del rest["id"]
    parts = Parts()
    components = rest.get("components")
    if are_objects(components):
        del rest["components"]
        for component in components:
            parts.take(component)
    reason = _taken(rest, "rejected_reason")
    return Template(
        template_id=identifier,
        name=name,
        language=_taken(rest, "language") or "und",
        category=(_taken(rest, "category") or "UNKNOWN").upper(),
        status=(_taken(rest, "status") or "UNKNOWN").upper(),
        parameter_format=(_taken(rest, "parameter_format") or parts.parameter_format()).upper(),
        quality=_quality(rest),
        rejected_reason=None if reason == "NONE" else reason,
        header=parts.header,
        body=parts.body,
        footer=parts.footer,
        buttons=parts.buttons,
        other_components=parts.other,
        carousel=parts.carousel,
        limited_time_offer=parts.limited_time_offer,
        raw=rest,
        fingerprint=fingerprint,
    )


def readable(raw: Any) -> tuple[str, dict[str, Any]]:
    """The id of a template as Graph lists it, and all of it as Kafka and PostgreSQL can hold it.

    Raises `UnreadableTemplate`; where it does not, `parse_template` does not either.
    """
    if not isinstance(raw, dict):
        raise UnreadableTemplate("it is no JSON object")
    kept: dict[str, Any] = _storable(raw)
    identifier, name = kept.get("id"), kept.get("name")
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    if not _is_text(identifier) or not _is_text(name):
        raise UnreadableTemplate("it has no id or no name")
    return identifier, kept


def fingerprint_of(raw: Any) -> str | None:
    """A digest of a template as Graph lists it, leaving out what Graph words anew at every call; None if it has none.

    Far cheaper than parsing: what was known with the same fingerprint needs no closer look.
    """
    if not isinstance(raw, dict):
        return None
    lasting: dict[str, Any] = dict(raw)
    components, score = lasting.get("components"), lasting.get("quality_score")
    if isinstance(components, list):
        lasting["components"] = [_component(component) for component in components]
    if isinstance(score, dict):
        lasting["quality_score"] = {key: part for key, part in score.items() if key != "date"}
    try:
        text = orjson.dumps(lasting, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def aspects_of(raw: Mapping[str, Any]) -> Aspects:
    """What webhooks may tell of a template, as Graph lists it and `parse_template` reads it."""
    reason = raw.get("rejected_reason")
    return Aspects(
        status=_word(raw.get("status")) or "UNKNOWN",
        category=_word(raw.get("category")) or "UNKNOWN",
        quality=_score(raw.get("quality_score")),
        rejected_reason=reason if _is_text(reason) and reason != "NONE" else None,
    )


def with_aspects(template: Template, aspects: Aspects) -> Template:
    """A template with other aspects, and no fingerprint where they are other."""
    changes = {name: value for name, value in aspects._asdict().items() if getattr(template, name) != value}
    if not changes:
        return template
    score = template.raw.get("quality_score")
    if "quality" in changes and isinstance(score, dict):
        # The date that Graph gives beside its score is that of the former one.
        rest = {key: part for key, part in score.items() if key not in ("score", "date")}
        given = {"quality_score": {"score": aspects.quality, **rest}} if aspects.quality else {}
        changes["raw"] = {**{key: part for key, part in template.raw.items() if key != "quality_score"}, **given}
    return template.model_copy(update={**changes, "fingerprint": None})


def dump_template(template: Template) -> dict[str, Any]:
    """The template in Graph's own form; `parse_template` of it is the same template again."""
    components: list[dict[str, Any]] = [
        part.raw for part in (template.header, template.body, template.footer) if part is not None
    ]
    if template.buttons:
        components.append({"type": "BUTTONS", "buttons": [button.raw for button in template.buttons]})
    dumped: dict[str, Any] = {
        "id": template.template_id,
        "name": template.name,
        "language": template.language,
        "category": template.category,
        "status": template.status,
        "parameter_format": template.parameter_format,
        "components": components + template.other_components,
        **({"quality_score": {"score": template.quality}} if template.quality else {}),
        **({"rejected_reason": template.rejected_reason} if template.rejected_reason else {}),
    }
    return dumped | template.raw


def diff(
    known: Mapping[str, Template], listed: Iterable[Template], in_doubt: Collection[str] = frozenset()
) -> Differences:
    """What Graph's list changes about the templates as they were told last; of one listed twice the last stands.

    Those `in_doubt` are told once more, even where nothing differs.
    """
    now = {template.template_id: template for template in listed}
    changed: list[Change] = []
    confirmed: list[Template] = []
    for template_id in sorted(now.keys() & known.keys()):
        before, after = known[template_id], now[template_id]
        fields = changed_fields(before, after)
        if fields or template_id in in_doubt:
            changed.append(Change(after, before, tuple(sorted(fields))))
        elif after.fingerprint and after.fingerprint != before.fingerprint:
            confirmed.append(after)
    return Differences(
        added=tuple(now[template_id] for template_id in sorted(now.keys() - known.keys())),
        changed=tuple(changed),
        removed=tuple(known[template_id] for template_id in sorted(known.keys() - now.keys())),
        confirmed=tuple(confirmed),
    )


def counts(statuses: Iterable[str]) -> Counts:
    """How many templates there are, in all and by status (in alphabetical order)."""
    by_status = Counter(statuses)
    return Counts(by_status.total(), by_status[APPROVED], dict(sorted(by_status.items())))


def changed_fields(before: Template, after: Template) -> set[str]:
    """The fields of `Template` that differ, leaving out what Meta words anew at every call."""
    return {
        field
        for field in COMPARED
        if getattr(before, field) != getattr(after, field)
        and _lasting(field, getattr(before, field)) != _lasting(field, getattr(after, field))
    }


def _quality(rest: dict[str, Any]) -> str | None:
    """The score out of `quality_score`, which stays where there is more in it."""
    given = rest.get("quality_score")
    score = _score(given)
    if score and (not isinstance(given, dict) or given.keys() == {"score"}):
        del rest["quality_score"]
    return score


def _score(given: Any) -> str | None:
    """The score of a `quality_score`, which is an object, or was once a bare string."""
    return _word(given.get("score") if isinstance(given, dict) else given)


def _word(value: Any) -> str | None:
    return value.upper() if _is_text(value) else None


def _taken(rest: dict[str, Any], key: str) -> str | None:
    """The text at `key`, moved out of `rest`; anything but a text stays there."""
    return rest.pop(key) if _is_text(rest.get(key)) else None


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


def _storable(raw: dict[str, Any]) -> dict[str, Any]:
    """A template that Kafka and PostgreSQL can hold. Raises `UnreadableTemplate` where there is no such."""
    try:
        text = orjson.dumps(raw)
    except orjson.JSONEncodeError:
        raise UnreadableTemplate("it can't be written as JSON again") from None
    # It is as deep as it has brackets at most, so nearly all templates need no closer look.
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH and b"\\u0000" not in text:
        return dict(raw)
    return _without_nul(raw, MAX_DEPTH)


def _without_nul(value: Any, levels: int) -> Any:
    """A copy with NUL replaced, which PostgreSQL does not store in text. Raises `UnreadableTemplate` if too deep."""
    if levels == 0:
        raise UnreadableTemplate("its JSON is too deep")
    match value:
        case str():
            return storable(value)
        case dict():
            return {_without_nul(key, 1): _without_nul(inner, levels - 1) for key, inner in value.items()}
        case list():
            return [_without_nul(inner, levels - 1) for inner in value]
        case _:
            return value


def _lasting(field: str, value: Any) -> Any:
    """`value` without what Meta words anew at every call: signed links to example media, the date of a score."""
    match value:
        case Header() | Body() | Footer():
            return _component(value.raw)
        case list() if field == "buttons":
            return [button.raw for button in value]
        case list() if field == "other_components":
            return [_component(component) for component in value]
        case dict() if field == "raw" and isinstance(value.get("quality_score"), dict):
            # The score itself is compared as `quality`.
            score = {key: part for key, part in value["quality_score"].items() if key not in ("date", "score")}
            rest = {key: part for key, part in value.items() if key != "quality_score"}
            return {**rest, "quality_score": score} if score else rest
        case _:
            return value


def _component(component: Any) -> Any:
    """A component with its example media named by path alone, in the cards of a carousel too."""
    if not isinstance(component, dict):
        return component
    lasting: dict[str, Any] = {}
    example, cards = component.get("example"), component.get("cards")
    if isinstance(example, dict) and isinstance(example.get("header_handle"), list):
        lasting["example"] = {**example, "header_handle": [_path(link) for link in example["header_handle"]]}
    if isinstance(cards, list):
        lasting["cards"] = [
            {**card, "components": [_component(inner) for inner in card["components"]]}
            if isinstance(card, dict) and isinstance(card.get("components"), list)
            else card
            for card in cards
        ]
    return {**component, **lasting} if lasting else component


def _path(link: Any) -> Any:
    if not isinstance(link, str):
        return link
    try:
        return urlsplit(link).path
    except ValueError:
        return link
