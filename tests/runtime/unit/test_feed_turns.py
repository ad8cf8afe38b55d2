"""Questions of many, put to a database as one."""

import asyncio
from collections.abc import Mapping

import pytest
from wabus_runtime.feed.turns import Turns


class Asked:
    """What answers questions by their length, when it is told to; and what was asked at once."""

    def __init__(self, *refused: str, error: type[Exception] = ValueError) -> None:
        self.turns: list[dict[str, str]] = []
        self.may_answer = asyncio.Event()
        self._refused = refused
        self._error = error

    async def __call__(self, questions: Mapping[str, str]) -> Mapping[str, int]:
        self.turns.append(dict(questions))
        await self.may_answer.wait()
        if any(each in self._refused for each in questions.values()):
            raise self._error
        return {who: len(question) for who, question in questions.items()}


async def let_go_on() -> None:
    """Return when everything that can go on without us has."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_ask_while_others_are_answered_are_asked_for_together() -> None:
    asked = Asked()
    turns = Turns(asked, 10)
    first = asyncio.create_task(turns.ask("a", "1"))
    await let_go_on()
    others = [asyncio.create_task(turns.ask(who, question)) for who, question in (("b", "22"), ("c", "333"))]
    await let_go_on()
    asked.may_answer.set()
    assert [await each for each in (first, *others)] == [1, 2, 3]
    assert asked.turns == [{"a": "1"}, {"b": "22", "c": "333"}]


async def test_a_turn_is_bounded_and_has_nobody_twice() -> None:
    asked = Asked()
    turns = Turns(asked, 2)
    asking = [asyncio.create_task(turns.ask(who, who * 2)) for who in ("a", "a", "b", "c")]
    await let_go_on()
    asked.may_answer.set()
    assert await asyncio.gather(*asking) == [2, 2, 2, 2]
    assert [list(each) for each in asked.turns] == [["a", "b"], ["a", "c"]]


async def test_what_is_wrong_with_one_is_told_to_that_one_only() -> None:
    asked = Asked("bad")
    turns = Turns(asked, 10)
    asking = [asyncio.create_task(turns.ask(who, question)) for who, question in (("a", "good"), ("b", "bad"))]
    asked.may_answer.set()
    good, bad = await asyncio.gather(*asking, return_exceptions=True)
    assert good == 4
    assert isinstance(bad, ValueError)


@pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError])
async def test_a_database_that_is_away_is_not_asked_for_each_alone(error: type[Exception]) -> None:
    asked = Asked("bad", error=error)
    turns = Turns(asked, 10)
    asking = [asyncio.create_task(turns.ask(who, question)) for who, question in (("a", "good"), ("b", "bad"))]
    asked.may_answer.set()
    assert [type(each) for each in await asyncio.gather(*asking, return_exceptions=True)] == [error, error]
    assert len(asked.turns) == 1


async def test_who_has_left_is_asked_for_no_more_and_nobody_waits_for_them() -> None:
    asked = Asked()
    turns = Turns(asked, 10)
    first = asyncio.create_task(turns.ask("a", "1"))
    await let_go_on()
    left, stayed = asyncio.create_task(turns.ask("b", "2")), asyncio.create_task(turns.ask("c", "3"))
    await let_go_on()
    first.cancel()
    left.cancel()
    await let_go_on()
    asked.may_answer.set()
    assert await stayed == 1
    assert asked.turns == [{"a": "1"}, {"c": "3"}]
