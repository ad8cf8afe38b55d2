"""What can be pressed about a reason: it does what the remedy says, and what can be done at once comes first."""

import pytest
from health_projector.unit.test_health_judgement import (
    CONNECTED,
    GOOD,
    HANDSHAKE,
    HOUR,
    NOW,
    REASONS,
    connected,
    fact,
    failed,
    state,
    synced,
)
from wabus_events import (
    AccountChecked,
    AccountUpdated,
    CheckedNumber,
    Event,
    PhoneNumber,
    SendingError,
    SendingRestriction,
    TemplateStatusChanged,
)
from wabus_health_projector.health.judgement import TEMPLATE_TROUBLES, conclude, judge, judge_organisation
from wabus_health_projector.health.reasons.action import action_of
from wabus_health_projector.health.reasons.reason import Reason
from wabus_health_projector.health.reasons.routing import NOT_CONNECTED
from wabus_health_projector.health.reasons.sync_errors import MEANINGS as SYNC_MEANINGS
from wabus_health_projector.health.reasons.sync_errors import meaning_of
from wabus_health_projector.health.state import SyncFailure
from wabus_health_projector.health.traffic import ErrorCount, Traffic
from wabus_whatsapp.sending.errors import MEANINGS, TROUBLES

LEADS = {
    "“Sync now”": {"sync"},
    "Business Support Home": {"link", "reconnect"},
    "WhatsApp Manager": {"link", "reconnect", "sync"},
    "Billing Hub": {"link"},
    "App Dashboard": {"link", "reconnect"},
    "Connect your WhatsApp Business account": {"reconnect"},
    "Connect the account": {"reconnect", "link"},
}
"""What a remedy names, and what may be pressed then."""


def reason(code: str, remedy: str) -> Reason:
    return Reason(code=code, severity="failing", message="It does not work.", remedy=remedy, waba_id="1")


def assert_leads_there(found: Reason) -> None:
    for named, kinds in LEADS.items():
        if named in found.remedy:
            assert found.action is not None, found
            assert found.action.kind in kinds, found
    assert found.action is None or found.action.kind != "link" or found.action.href.startswith("https://")


@pytest.mark.parametrize(("code", "status", "events"), REASONS, ids=[code for code, _, _ in REASONS])
def test_what_a_remedy_names_can_be_pressed(code: str, status: str, events: tuple[Event, ...]) -> None:
    for found in judge(state(*GOOD, *events), NOW).reasons:
        assert_leads_there(found)


REMEDIES = {
    *(("phone_not_connected", remedy) for _, _, remedy in NOT_CONNECTED.values()),
    *((trouble.code, trouble.remedy) for trouble in TROUBLES.values()),
    *(("messages_failing", meaning.remedy) for meaning in MEANINGS.values()),
    *(("sync_failing", remedy) for _, remedy in SYNC_MEANINGS.values()),
    *((code, remedy) for _, code, _, _, *remedies in TEMPLATE_TROUBLES for remedy in remedies),
}


@pytest.mark.parametrize(("code", "remedy"), sorted(REMEDIES))
def test_what_any_remedy_names_can_be_pressed(code: str, remedy: str) -> None:
    found = reason(code, remedy)
    assert_leads_there(found.model_copy(update={"action": action_of(found)}))


def test_whoever_is_told_to_connect_again_has_the_button_for_it() -> None:
    elsewhere = CheckedNumber(phone_number_id="9", callback_url="https://other.example/hook")
    lost = fact(AccountChecked, our_callback_url="https://us.example", subscribed=False, numbers=[elsewhere])
    gone = fact(AccountUpdated, event="ACCOUNT_DELETED", value={})
    verdict = judge(state(*GOOD, lost, gone), NOW)
    assert {found.code: found.action and found.action.kind for found in verdict.reasons} == {
        "webhook_misrouted": "reconnect",
        "webhook_unsubscribed": "reconnect",
        "account_deleted": "reconnect",
    }


@pytest.mark.parametrize(
    ("status", "leads"),
    [
        ("DISCONNECTED", "/whatsapp/connect"),
        ("PENDING", "https://business.facebook.com/wa/manage/phone-numbers/?waba_id=1"),
        ("BANNED", "https://business.facebook.com/wa/manage/phone-numbers/?waba_id=1"),
    ],
)
def test_a_number_that_is_not_connected_leads_to_where_it_can_be_mended(status: str, leads: str) -> None:
    number = CheckedNumber(phone_number_id="9", status=status)
    checked = fact(AccountChecked, our_callback_url="https://us.example", subscribed=True, numbers=[number])
    [found] = judge(state(*GOOD, checked), NOW).reasons
    assert found.action
    assert found.action.href == leads


@pytest.mark.parametrize(
    ("error_code", "leads"),
    [
        (141006, "https://business.facebook.com/billing_hub"),
        (141010, "https://business.facebook.com/wa/manage/home/?waba_id=1"),
        (141014, "https://business.facebook.com/business-support-home/"),
        (None, "https://business.facebook.com/wa/manage/home/?waba_id=1"),
    ],
)
def test_what_meta_advises_in_its_own_words_leads_by_its_cause(error_code: int | None, leads: str) -> None:
    error = SendingError(error_code=error_code, description="It is so.", possible_solution="Connect a card. Then wait.")
    blocked = SendingRestriction(entity_type="WABA", entity_id="1", can_send_message="BLOCKED", errors=[error])
    checked = fact(AccountChecked, our_callback_url="https://us.example", subscribed=True, restrictions=[blocked])
    [found] = judge(state(*GOOD, checked), NOW).reasons
    assert found.action
    assert (found.action.kind, found.action.href) == ("link", leads)


def test_links_name_the_account_that_they_are_about() -> None:
    paused = fact(TemplateStatusChanged, template_id="t", name="offer", language="en", event="PAUSED")
    [found] = judge(state(*GOOD, paused), NOW).reasons
    assert found.action
    assert found.action.href == "https://business.facebook.com/wa/manage/message-templates/?waba_id=1"


def test_a_message_to_the_number_itself_proves_that_webhooks_arrive() -> None:
    number = PhoneNumber(phone_number_id="9", display_phone_number="+1 555-010-0001")
    [found] = judge(state(connected(phone_numbers=[number]), synced()), NOW).reasons
    assert (found.code, found.action and found.action.href) == ("webhook_unverified", "https://wa.me/15550100001")
    [found] = judge(state(connected(), synced()), NOW).reasons
    assert found.action
    assert found.action.kind == "check"


def test_what_can_be_pressed_here_comes_before_what_has_to_be_looked_for_at_meta() -> None:
    banned = fact(AccountUpdated, event="DISABLED_UPDATE", value={"ban_info": {"waba_ban_state": "DISABLE"}})
    verdict = judge(state(*GOOD, banned, failed("token_expired")), NOW)
    assert [found.code for found in verdict.reasons] == ["token_expired", "account_banned"]
    assert conclude(verdict.reasons[::-1]) == verdict


def test_nothing_connected_leads_to_connecting() -> None:
    [found] = judge_organisation([], NOW).reasons
    assert found.action
    assert (found.action.kind, found.action.href) == ("reconnect", "/whatsapp/connect")


def test_what_is_tried_again_by_itself_asks_nobody_to_do_anything() -> None:
    [found] = judge(state(connected(), HANDSHAKE, failed("graph_unavailable", retryable=True)), NOW).reasons
    assert (found.message, found.action) == ("Meta is not answering.", None)
    assert "try again" not in found.message + found.remedy.replace("we try again by ourselves", "")


def test_what_the_operator_has_to_repair_asks_nobody_else() -> None:
    [found] = judge(state(connected(), HANDSHAKE, failed("bad_request")), NOW).reasons
    assert found.action is None
    assert "whoever runs this service" in found.remedy


def test_a_failure_that_is_not_known_here_speaks_for_itself() -> None:
    failure = SyncFailure(
        at=NOW, id="1", logged_at=NOW, sync_id="s", started_at=NOW, code="new", message="It is new.", retryable=True
    )
    assert meaning_of(failure)[0] == "It is new."


def test_several_templates_are_spoken_of_as_several() -> None:
    paused = [
        fact(TemplateStatusChanged, template_id=name, name=name, language="en", event="PAUSED") for name in ("a", "b")
    ]
    [one] = judge(state(*GOOD, paused[0]), NOW).reasons
    [both] = judge(state(*GOOD, *paused), NOW).reasons
    assert one.remedy.startswith("Don't send it while it is paused")
    assert both.remedy.startswith("Don't send them while they are paused")


def test_restrictions_are_named_the_worst_first_and_with_or() -> None:
    kinds = ("RESTRICTED_ADD_PHONE_NUMBER_ACTION", "RESTRICTED_BIZ_INITIATED_MESSAGING", "RESTRICTION_ON_PAYMENTS")
    restriction = {"restriction_info": [{"restriction_type": kind} for kind in kinds]}
    [found] = judge(state(*GOOD, fact(AccountUpdated, event="ACCOUNT_RESTRICTION", value=restriction)), NOW).reasons
    assert found.message == "Meta does not let this account start conversations, take payments or add phone numbers."


@pytest.mark.parametrize(("others", "share"), [(0, " because "), (3, ", 12 of them because ")])
def test_failed_messages_say_how_many_have_the_commonest_cause_unless_all_have(others: int, share: str) -> None:
    errors = [
        ErrorCount(phone_number_id="9", code=code, count=count, first_at=CONNECTED, last_at=CONNECTED + HOUR)
        for code, count in ((131026, 12), (131049, others))
        if count
    ]
    traffic = Traffic(sent=0, failed=12 + others, errors=tuple(errors))
    [found] = judge(state(*GOOD), NOW, traffic).reasons
    assert f"could not be delivered{share}the recipients can't get them" in found.message
