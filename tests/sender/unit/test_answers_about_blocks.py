"""What Meta answers about a block: done, refused, or to be asked again, for that changes nothing."""

from typing import Any

import pytest
from wabus_sender.sending.answers import Again, Refused
from wabus_sender.sending.explaining import explained
from wabus_sender.sending.people.blocking import MOST_TRIES, Done, answered, decided
from wabus_sender.sending.uploads import Stored
from wabus_sender.sending.uploads import answered as uploaded
from wabus_sender.sending.uploads import decided as upload_decided


def error(code: int) -> dict[str, Any]:
    return {"error": {"code": code, "message": "(#1)"}}


def failed(code: int) -> dict[str, Any]:
    return {"block_users": {"failed_users": [{"input": "49151", "errors": [{"code": code}]}]}}


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (200, {"messaging_product": "whatsapp", "block_users": {"added_users": [{"input": "49151"}]}}, Done()),
        (200, {"block_users": {"removed_users": []}}, Done()),
        (200, failed(131047), Refused("not_written_lately", 131047)),
        (200, failed(139101), Refused("block_list_full", 139101)),
        (200, {"block_users": {"failed_users": [{}]}}, Refused("refused_by_meta")),
        (400, error(139100), Refused("not_written_lately", 139100)),
        (400, error(139101), Refused("block_list_full", 139101)),
        (500, error(139102), Again("passing", 2.0, error_code=139102)),
        (400, error(100), Refused("request_wrong", 100)),
        (401, error(190), Again("account_stop", 60.0, "number", 190)),
        (400, error(987654), Refused("refused_by_meta", 987654)),
        (502, None, Again("no_graph_answer", 2.0)),
        (200, {}, Again("no_graph_answer", 2.0)),
    ],
)
def test_what_an_answer_means(status: int, content: Any, expected: Done | Refused | Again) -> None:
    assert answered(status, content) == expected


def test_it_is_not_asked_for_without_end() -> None:
    again = Again("passing", 2.0)
    assert [type(decided(again, tries)) for tries in range(1, MOST_TRIES + 1)] == [Again] * (MOST_TRIES - 1) + [Refused]
    assert decided(Again("account_stop", 60.0, "number", 190), 1) == Refused("account_stop", 190)
    assert decided(Done(), 9) == Done()
    limited = answered(400, error(80007), regained_in=1140.0)
    assert limited == Again("calls_limited", 1140.0, "number", 80007)
    assert decided(limited, MOST_TRIES) == limited, "Meta has looked at nothing, and says when it will"
    for code in ("not_written_lately", "block_list_full", "no_access", "upload_lost"):
        assert explained(code, 131047 if code == "not_written_lately" else None).remedy


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (200, {"id": "123"}, Stored("123")),
        (200, {"id": ""}, Again("no_graph_answer", 0.0)),
        (502, {"id": "123"}, Again("no_graph_answer", 0.0)),
        (400, error(131053), Refused("media", 131053)),
        (502, None, Again("no_graph_answer", 0.0)),
    ],
)
def test_what_an_answer_to_an_upload_means(status: int, content: Any, expected: Any) -> None:
    assert uploaded(status, content) == expected
    assert isinstance(upload_decided(expected, 1), type(expected))
