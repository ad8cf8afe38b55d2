"""The table of Meta's errors of messages: each that is known has a class, a sentence and a remedy."""

import re
from typing import get_args

import pytest
import pywa.errors
import yaml
from support import meta_openapi
from wabus_whatsapp.graph_errors import RateLimited, classify
from wabus_whatsapp.sending.errors import ERRORS, HANDLING, Kind, kind_of, meaning

CLASSES: dict[Kind, tuple[int, ...]] = {
    "busy_number": (130429,),
    "calls_limited": (4, 17, 32, 613, 80007, 80008),
    "busy_pair": (131056,),
    "pause_number": (131057,),
    "passing": (1, 2, 131000, 131016),
    "needs_template": (131047,),
    "unreachable_person": (131026, 131021, 131030),
    "not_wanted": (131050, 131049, 130472),
    "template_wrong": (132000, 132001, 132005, 132007, 132008, 132012, 132018, 132068, 132069),
    "template_stopped": (132015, 132016),
    "identifier": (131062,),
    "request_wrong": (100, 131008, 131009),
    "wrong_door": (131061, 131063),
    "identity_changed": (137000,),
    "media": (131051, 131052, 131053),
    "account_stop": (131042, 131031, 368, 131045, 133010, 131048, 131064, 131044, 131005, 131037, 190, 10, 200),
    "thread_of_another": (2494191,),
    "country": (130497,),
}
"""Meta: "WhatsApp error codes" and the pages that it leads to, as a class each."""
OF_SENDING = (
    pywa.errors.AuthorizationError,
    pywa.errors.ThrottlingError,
    pywa.errors.IntegrityError,
    pywa.errors.SendMessageError,
)
NOT_OF_SENDING = {133016}
"""Registering a number too often."""


@pytest.mark.parametrize(("kind", "codes"), CLASSES.items(), ids=CLASSES)
def test_each_code_that_meta_documents_has_its_class(kind: Kind, codes: tuple[int, ...]) -> None:
    assert {kind_of(code) for code in codes} == {kind}


def test_every_code_of_sending_that_pywa_knows_is_in_the_table() -> None:
    known = {code for family in OF_SENDING for error in family.__subclasses__() for code in error.__error_codes__ or ()}
    assert len(known) > 40
    assert [code for code in sorted(known - NOT_OF_SENDING) if kind_of(code) is None] == []


@pytest.mark.skipif(meta_openapi.missing() is not None, reason=str(meta_openapi.missing()))
def test_every_code_of_sending_in_metas_openapi_is_in_the_table() -> None:
    text = yaml.dump(meta_openapi.document())
    codes = {int(code) for code in re.findall(r"\bcode['\"]?: ['\"]?(13[012]\d{3})\b", text)}
    assert codes
    assert [code for code in sorted(codes) if kind_of(code) is None] == []


def test_every_class_is_handled_and_has_a_code() -> None:
    assert {*get_args(Kind)} == HANDLING.keys()
    assert {error.kind for error in ERRORS.values()} == HANDLING.keys()


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_code_has_a_sentence_and_a_remedy(code: int) -> None:
    error = ERRORS[code]
    assert str(meaning(code)).endswith(".")
    assert error.what
    assert not error.what.endswith(".")
    assert error.remedy.endswith(".")


def test_only_what_may_go_better_by_itself_is_tried_again() -> None:
    again = {kind for kind, handling in HANDLING.items() if handling.again}
    assert again == {"busy_number", "busy_pair", "calls_limited", "pause_number", "passing", "account_stop"}
    assert {kind for kind, handling in HANDLING.items() if handling.counted} == {"passing"}


def test_all_permissions_stop_the_number_and_a_code_that_nobody_knows_has_no_class() -> None:
    assert {kind_of(code) for code in range(200, 300)} == {"account_stop"}
    assert (kind_of(999999), meaning(999999)) == (None, None)


@pytest.mark.parametrize("code", [4, 17, 32, 613, 80007, 80008, 130429, 131056])
def test_whoever_reads_graph_is_told_the_same_of_being_too_fast(code: int) -> None:
    assert isinstance(classify(400, b'{"error": {"code": %d}}' % code, {}), RateLimited)
