"""Records become rows of planning: whose an account is, what Meta charges, budgets and what was told of them.

Each row knows as of when it is, so that the log can be folded once more over rows that are newer.
"""

from collections.abc import Sequence
from typing import Any

from wabus_events import (
    AccountChecked,
    AccountConnected,
    AccountDisconnected,
    AdviceDismissed,
    BudgetAlerted,
    BudgetsSet,
    PricingRead,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateRemoved,
)
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Recorded

from wabus_insights.tables.planning import accounts, advice, budgets, pricing

PAYMENT_ERRORS = (141006, 131042)
"""Meta can't charge: no payment method, or one with a problem. Source: Meta, "Error codes"; "Health status"."""


async def fold(connection: Connection, records: Sequence[Recorded]) -> None:
    """Take in records of a batch, in the order of each partition."""
    for record in records:
        match event := record.event:
            case AccountConnected(org_id=str(org_id)):
                await accounts.own(connection, event.waba_id, org_id, event.time)
                await accounts.describe(connection, event.waba_id, event.time_zone, event.currency, event.time)
                await advice.watch(connection, org_id)
            case AccountDisconnected():
                await accounts.disown(connection, event.waba_id, event.org_id, event.time)
            case AccountChecked():
                await accounts.describe(connection, event.waba_id, event.time_zone, event.currency, event.time)
                if event.error_code is None:
                    code = payment_error(event)
                    await accounts.set_payment_error(connection, event.waba_id, code, event.time)
            case TemplateChanged():
                raw: dict[str, Any] = event.template.raw
                await advice.describe_template(
                    connection,
                    event.waba_id,
                    event.template.template_id,
                    event.template.name,
                    event.template.language,
                    event.template.category,
                    _text(raw.get("previous_category")),
                    _text(raw.get("correct_category")),
                    event.time,
                )
            case TemplateCategoryChanged():
                await advice.recategorise(
                    connection,
                    event.waba_id,
                    event.template_id,
                    event.new_category,
                    event.previous_category,
                    event.correct_category,
                    event.time,
                )
            case TemplateRemoved():
                await advice.remove_template(connection, event.waba_id, event.template_id, event.time)
            case PricingRead():
                await pricing.take_in(connection, event)
            case BudgetsSet():
                await budgets.replace(connection, event)
            case BudgetAlerted():
                await budgets.take_in(connection, event)
            case AdviceDismissed():
                await advice.dismiss(connection, event)
            case _:
                pass


def payment_error(checked: AccountChecked) -> str | None:
    """The error by which Meta says that it can't charge an account; None if it says none. Pure."""
    codes = {error.error_code for restriction in checked.restrictions for error in restriction.errors}
    return next((str(code) for code in PAYMENT_ERRORS if code in codes), None)


def _text(told: object) -> str | None:
    return told if isinstance(told, str) and told else None
