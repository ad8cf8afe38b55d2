"""What is known of something that is asked for: whose number, to whom, which template, and why it is refused, if so."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, cast

import asyncpg
from wabus_events import Template as WholeTemplate
from wabus_events import contact_id
from wabus_events.models.sends import Lane
from wabus_runtime.http.answers import Problem
from wabus_whatsapp.assignment import is_held_out
from wabus_whatsapp.sending.message import check
from wabus_whatsapp.sending.template_parameters import check_parameters
from wabus_whatsapp.templates.render import CannotRender

from wabus_sender.api.models import MessageBody, SendRequest, Whom
from wabus_sender.sending import checks
from wabus_sender.sending.checks import Facts, Refusal
from wabus_sender.sending.experiments import Chosen, Experiment, Withheld, chosen, given, missing_values
from wabus_sender.sending.experiments import message_of as experiment_message
from wabus_sender.sending.requests import lane_of, unstorable
from wabus_sender.tables import experiments, facts, policies
from wabus_sender.tables.facts import Template
from wabus_sender.tables.people import blocks, contacts, opt_outs, thread_owners

_ADDRESSING = frozenset(
    ("from_", "to", "recipient", "conversation_id", "label", "metadata", "not_before", "expires_at", "wamid", "sent_at")
)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
VALUE_MAX = 1024  # characters, of a value that an experiment's text is filled in with
_OURS = _ADDRESSING | {"messaging_product", "recipient_type"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to be sent, from which number and to whom."""

    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    message: Mapping[str, Any]
    """Meta's message object, without whom it is to."""
    conversation_id: str | None = None
    label: str | None = None
    metadata: str | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None
    again_of: str | None = None
    chosen: Chosen | None = None
    """What an experiment has chosen."""
    experiment: Experiment | None = None
    """Of which nothing may be refused for one arm and not for another."""
    values: Mapping[str, str] | None = None
    """What the texts of an experiment's arms are filled in with."""

    @property
    def kind(self) -> str:
        return str(self.message.get("type", "template"))

    @property
    def value(self) -> str:
        """What the person is drawn by."""
        return self.wa_id or self.user_id or ""

    @property
    def template(self) -> tuple[str, str] | None:
        """The name and the language of the template, if it is one."""
        return template_in(self.message)


@dataclass(frozen=True, slots=True)
class KnownWish:
    """A wish with what the tables say of it."""

    wish: Wish
    waba_id: str
    lane: Lane
    template: Template | None
    refusal: Refusal | None
    user_last_at: datetime | None = None
    """When the person last wrote to the number."""
    withheld: Withheld | None = None
    """Why nothing is sent, though nothing is in its way."""


def template_in(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """The name and the language of the template that a message is, if it is one."""
    match message.get("template"):
        case {"name": str(name), "language": {"code": str(language)}}:
            return name, language
        case _:
            return None


def experiment_in(message: Mapping[str, Any]) -> tuple[str, dict[str, str]] | None:
    """The experiment that a message leaves to choose its template, and the values to fill it in with, if it does.

    Raises a problem where these are not as they have to be.
    """
    template = message.get("template")
    if message.get("type") != "template" or not isinstance(template, dict) or "experiment" not in template:
        return None
    content = cast(dict[str, Any], template)
    experiment_id, values = content["experiment"], content.get("values", {})
    if unknown := content.keys() - {"experiment", "values"}:
        raise invalid(*(f"template.{name}" for name in unknown))
    if not isinstance(experiment_id, str) or not _ID.fullmatch(experiment_id):
        raise invalid("template.experiment")
    if not isinstance(values, dict):
        raise invalid("template.values")
    given = cast(dict[str, object], values)
    if wrong := [name for name, value in given.items() if not isinstance(value, str) or len(value) > VALUE_MAX]:
        raise invalid(*(f"template.values.{name}" for name in wrong))
    return experiment_id, {name: str(value) for name, value in given.items()}


def message_of(asked: MessageBody) -> dict[str, Any]:
    """Meta's message object, without whom it is to."""
    return asked.model_dump(mode="json", exclude=set(_OURS), exclude_none=True)


async def wish_of(
    pool: asyncpg.Pool, org_id: str, asked: SendRequest, now: datetime, kept: Mapping[str, Any] | None = None
) -> Wish:
    """A request with whom it is to, and what an experiment has chosen for them. Raises a problem where that is nobody.

    `kept` is what was chosen before, for the same request.
    """
    phone_number_id, wa_id, user_id = await whom(pool, org_id, asked)
    wish = Wish(
        phone_number_id,
        wa_id,
        user_id,
        message_of(asked),
        asked.conversation_id,
        asked.label,
        asked.metadata,
        asked.not_before,
        asked.expires_at,
    )
    return await _chosen(pool, org_id, wish, now, kept) if experiment_in(wish.message) else wish


async def _chosen(
    pool: asyncpg.Pool, org_id: str, wish: Wish, now: datetime, kept: Mapping[str, Any] | None
) -> Wish:  # fmt: skip
    """The wish with what its experiment has chosen for the person."""
    experiment_id, values = experiment_in(wish.message) or ("", {})
    experiment = await experiments.experiment(pool, org_id, experiment_id)
    if experiment is None:
        raise Problem(422, "experiment_unknown", "No such experiment", "There is no experiment of yours with this id.",
                      fields=["template.experiment"])  # fmt: skip
    if missing := missing_values(experiment, values):
        raise invalid(*(f"template.values.{name}" for name in missing))
    if kept and kept.get("experiment_id") == experiment_id:
        found: Chosen | None = Chosen(experiment_id, kept["arm"], kept["epoch"])
    else:
        known = [value for value in (wish.wa_id, wish.user_id) if value]
        arm = await experiments.arm(pool, org_id, experiment_id, known)
        found = chosen(experiment, arm, wish.value, now)
    arm_given = found and given(experiment, found.arm)
    if found is None or arm_given is None:
        raise Problem(422, "experiment_not_running", "The experiment does not run", "It has not begun, or has ended: "
                      "send a template by its name.", fields=["template.experiment"])  # fmt: skip
    message = experiment_message(arm_given, values)
    return replace(wish, message=message, chosen=found, experiment=experiment, values=values)


async def known_of(pool: asyncpg.Pool, org_id: str, wish: Wish, now: datetime) -> KnownWish:
    """What is known of a wish. Raises a problem where the number is not the organisation's."""
    number = await facts.number(pool, wish.phone_number_id)
    if number is None or number.org_id != org_id:
        raise problem_of(checks.NOT_YOUR_NUMBER)
    template, unknown = None, False
    if wish.template:
        template = await facts.template(pool, number.waba_id, *wish.template)
        unknown = template is None and await facts.has_templates(pool, number.waba_id)
    if template:
        _check_parameters(wish, template)
    place = org_id, wish.phone_number_id, wish.wa_id or wish.user_id or ""
    found = (await contacts.windows(pool, [place])).get(place, (None, None, None))
    user_last_at, maybe_at, refused_at = found
    policy = await policies.policy(pool, org_id)
    known_facts = Facts(
        is_template=wish.kind == "template",
        read_until=await contacts.read_until(pool),
        owner=number.org_id,
        user_last_at=user_last_at,
        maybe_at=maybe_at,
        refused_at=refused_at,
        template_status=template and template.status,
        template_waits=policy.paused_template == "wait",
        category=template and template.category,
        wa_id=wish.wa_id,
        asks_meta=policy.country_rules == "ask_meta",
        stopped=place in await contacts.stopped(pool, [place]),
        taken_at=await thread_owners.taken_at(pool, *place),
        blocked=await blocks.blocked(pool, *place),
        opted_out=bool(await opt_outs.opted_out(pool, [(org_id, place[2])])),
    )
    if wish.experiment:
        return await _of_experiment(pool, org_id, wish, wish.experiment, number.waba_id, known_facts, now)
    refusal = checks.refusal(org_id, known_facts, now)
    lane = lane_of(wish.kind, template and template.category)
    refusal = refusal or (checks.TEMPLATE_UNKNOWN if unknown else None)
    withheld = await _held_out(pool, org_id, wish, lane)
    return KnownWish(wish, number.waba_id, lane, template, refusal, user_last_at, withheld)


async def _of_experiment(
    pool: asyncpg.Pool, org_id: str, wish: Wish, experiment: Experiment, waba_id: str, known: Facts, now: datetime
) -> KnownWish:
    """What is known of a wish that an experiment has chosen. Who is refused is refused whatever their arm is.

    Were it otherwise, people of one arm would be missing. What Meta does not send of one arm, such as a template that
    is paused, is asked for all the same and refused at its turn, so that the person is counted.
    """
    if waba_id != experiment.waba_id:
        raise Problem(422, "other_account", "Another account", "The experiment is with templates of another account.",
                      fields=["from"])  # fmt: skip
    templates: dict[str, Template] = {}
    refusal: Refusal | None = None
    for arm in experiment.plan.arms:
        if not arm.template_name or not arm.template_language:
            continue
        template = await facts.template(pool, waba_id, arm.template_name, arm.template_language)
        if template:
            templates[arm.arm] = template
            _check_parameters(replace(wish, message=experiment_message(arm, wish.values or {})), template)
        each = known._replace(is_template=True, template_status=None, category=arm.category)
        refusal = refusal or checks.refusal(org_id, each, now)
    categories = [arm.category for arm in experiment.plan.arms if arm.category]
    lane = lane_of("template", categories[0] if categories else None)
    withheld = await _held_out(pool, org_id, wish, lane)
    if withheld:  # before any experiment: they are in none
        return KnownWish(replace(wish, chosen=None), waba_id, lane, None, refusal, known.user_last_at, withheld)
    arm = wish.chosen.arm if wish.chosen else ""
    withheld = None if wish.message else "experiment"
    return KnownWish(wish, waba_id, lane, templates.get(arm), refusal, known.user_last_at, withheld)


async def _held_out(pool: asyncpg.Pool, org_id: str, wish: Wish, lane: Lane) -> Withheld | None:
    known = await experiments.holdout(pool, org_id) if lane == "marketing" else None
    if known is None:
        return None
    # By the number where it is known: whoever hides it stays in the holdout, or out of it.
    person = wish.wa_id or await experiments.number_of(pool, org_id, wish.value) or wish.value
    return "holdout" if is_held_out(*known, person, lane) else None


def _check_parameters(wish: Wish, template: Template) -> None:
    """Raises a problem with all that Meta would refuse about the parameters of a template."""
    content = wish.message.get("template")
    components = content.get("components") if isinstance(content, dict) else None
    try:
        check_parameters(WholeTemplate.model_validate(template.template), components or [])
    except CannotRender as cannot:
        raise Problem(
            422,
            "parameters_do_not_fit",
            "The parameters do not fit the template",
            " ".join(f"{each.part}: {each.message}" for each in cannot.wrong[:3]),
            wrong=[asdict(each) for each in cannot.wrong],
        ) from None


def problem_of(refusal: Refusal) -> Problem:
    """A refusal as an answer."""
    return Problem(422, refusal.code, "This can't be sent", refusal.message, remedy=refusal.remedy)


async def whom(pool: asyncpg.Pool, org_id: str, asked: Whom) -> tuple[str, str | None, str | None]:
    """From which number it is, and to whom: a number, a user id, or both."""
    if asked.conversation_id:
        address = await contacts.address(pool, org_id, asked.conversation_id)
        if address is None:
            raise conversation_unknown()
        if asked.from_ not in (None, address.phone_number_id):
            raise Problem(
                422,
                "other_number",
                "Another number",
                "The conversation is with another of your numbers: leave `from` out.",
                fields=["from"],
            )
        return address
    if asked.from_ is None:
        raise invalid("from")
    return asked.from_, asked.to and contact_id(asked.to.removeprefix("00")), asked.recipient


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, and a number of the organisation's."""

    waba_id: str
    phone_number_id: str
    wa_id: str | None
    user_id: str | None

    @property
    def value(self) -> str:
        """What they are known by."""
        return self.wa_id or self.user_id or ""


async def known_person(pool: asyncpg.Pool, org_id: str, asked: Whom) -> Person:
    """Who is meant. Raises a problem where that is nobody, or the number is not the organisation's."""
    check_whom(asked)
    phone_number_id, wa_id, user_id = await whom(pool, org_id, asked)
    number = await facts.number(pool, phone_number_id)
    if number is None or number.org_id != org_id:
        raise problem_of(checks.NOT_YOUR_NUMBER)
    return Person(number.waba_id, phone_number_id, wa_id, user_id)


def check_whom(asked: Whom) -> None:
    """Raises a problem where a person is not named, or twice."""
    if asked.conversation_id and (asked.to or asked.recipient):
        raise invalid("conversation_id")
    if not (asked.conversation_id or asked.to or asked.recipient):
        raise invalid("to")


def check_message(asked: MessageBody) -> None:
    """Raises a problem that names the members of a message that do not fit, and quotes nothing."""
    check_whom(asked)
    message = message_of(asked)
    # First: what can't be kept is not looked into.
    if wrong := [name for name, value in message.items() if unstorable(value)]:
        raise invalid(*wrong)
    if experiment_in(message):
        return
    if found := check(message):
        problems = [each._asdict() for each in found]
        raise invalid(*{each.field for each in found}, problems=problems)


def conversation_unknown() -> Problem:
    """Of an id that leads to nobody."""
    return Problem(
        422,
        "conversation_unknown",
        "No such conversation",
        "Nobody is known in a conversation of yours with this id. Please give the person's number as `to`.",
        fields=["conversation_id"],
    )


def invalid(*fields: str, **members: Any) -> Problem:
    """A body that does not fit, by the members that do not."""
    names = sorted(fields)
    detail = f"Please check: {', '.join(names)}."
    return Problem(422, "invalid_request", "The request is invalid", detail, fields=names, **members)
