"""What the Marketing Messages API takes beside a template message. Pure.

Sources: "Send marketing template messages" (product fallback policy, message activity sharing), "Set a max price for
marketing messages" (`optimization_spec`, formerly `bid_spec`, of templates, and the multiplier of a message, which is
still in `bid_spec`), "Marketing Messages API", Error codes, and "Currencies" (Marketing API).
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from simulated_meta.billing.invoice import minor_units
from simulated_meta.graph.errors import bad_parameter
from simulated_meta.sending.refusals import refusal

Json = dict[str, Any]

POLICIES = ("CLOUD_API_FALLBACK", "STRICT")
ONBOARDED = "ONBOARDED"
SPECS = ("optimization_spec", "bid_spec")


@dataclass(frozen=True, slots=True)
class Options:
    policy: str = POLICIES[0]
    multiplier: Decimal = Decimal(1)


DEFAULT = Options()


def parse(body: Json, template: Json | None) -> Options:
    """Raises `GraphError`."""
    if template is None or template["category"] != "MARKETING":
        raise bad_parameter("Only marketing template messages can be sent by this endpoint.")
    policy = body.get("product_policy", POLICIES[0])
    if policy not in POLICIES:
        raise bad_parameter(f"Param product_policy must be one of {{{', '.join(POLICIES)}}}.")
    if not isinstance(body.get("message_activity_sharing", False), bool):
        raise bad_parameter("Param message_activity_sharing must be a boolean.")
    bid = body.get("bid_spec", {})
    if not isinstance(bid, dict):
        raise bad_parameter("Param bid_spec must be a JSON object.")
    return Options(policy, _multiplier(bid.get("per_message_bid_multiplier", 1)))


def goes_through(options: Options, onboarding: str, template: Json) -> bool:
    """Whether the Marketing Messages API sends it itself, and not Cloud API in its place. Raises `GraphError`."""
    if onboarding == ONBOARDED:
        return True
    if options.policy == "STRICT":
        raise bad_parameter("The WhatsApp Business account is not onboarded to the Marketing Messages API.")
    if has_max_price(template):
        raise refusal(131061, "Cloud API, which this message would go through, takes no template with a max price.")
    return False


def has_max_price(template: Json) -> bool:
    return any(template.get(name) for name in SPECS)


def max_price(template: Json, currency: str, options: Options) -> Decimal | None:
    """The most that one delivery may cost, in whole units of the currency; None without a max price.

    `bid_amount` is of 1,000 deliveries, in the currency's smallest unit: "Calculating max-price amounts".
    """
    spec = next((template[name] for name in SPECS if template.get(name)), None)
    if spec is None:
        return None
    return Decimal(str(spec["bid_amount"])) * options.multiplier / 1000 / minor_units(currency)


def _multiplier(given: Any) -> Decimal:
    try:
        value = Decimal(str(given)) if not isinstance(given, bool) else Decimal(0)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise bad_parameter("Param bid_spec['per_message_bid_multiplier'] must be a positive number.")
    return value
