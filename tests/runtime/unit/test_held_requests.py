"""One organisation that has thousands of requests wait does not make those of others wait for the database."""

from contextlib import ExitStack

from aiohttp.test_utils import make_mocked_request
from wabus_runtime.http.streams import HELD_MOST, held

ASKING = make_mocked_request("GET", "/", {"Prefer": "wait=10"})


def test_so_many_requests_of_an_organisation_are_held_and_the_next_is_answered_at_once() -> None:
    with ExitStack() as waiting:
        given = [waiting.enter_context(held(ASKING, "a")) for _ in range(HELD_MOST + 5)]
        assert given == [10] * HELD_MOST + [None] * 5
        with held(ASKING, "b") as wait:
            assert wait == 10
    with held(ASKING, "a") as wait:
        assert wait == 10


def test_who_says_nothing_of_waiting_takes_no_place() -> None:
    with ExitStack() as asking:
        for _ in range(HELD_MOST):
            assert asking.enter_context(held(make_mocked_request("GET", "/"), "a")) is None
        with held(ASKING, "a") as wait:
            assert wait == 10
