"""Questions that many ask, put to a database as one: while one turn is answered, those who come wait for the next."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from wabus_runtime.postgres.database import DATABASE_AWAY

Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass(eq=False, slots=True)
class _Asked(Generic[Question, Answer]):
    who: str
    question: Question
    answer: "asyncio.Future[Answer]"


class Turns(Generic[Question, Answer]):
    """One turn at a time, with the questions of as many as have asked by then, but no more than `most`.

    The busier it is, the more are answered by one question to the database. Where that is away all are told so. Where
    something else fails each is asked alone, for it may be wrong with one of them only.
    """

    def __init__(self, ask: Callable[[Mapping[str, Question]], Awaitable[Mapping[str, Answer]]], most: int) -> None:
        self._ask_all = ask
        self._most = most
        self._waiting: list[_Asked[Question, Answer]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, who: str, question: Question) -> Answer:
        """The answer to somebody's question. Raises what asking for it does."""
        asked = _Asked[Question, Answer](who, question, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="turns")
        return await asked.answer

    async def _run(self) -> None:
        try:
            while turn := self._next_turn():
                await self._answer(turn)
        finally:
            self._task = None

    def _next_turn(self) -> dict[str, _Asked[Question, Answer]]:
        """The first who wait, each once; those who have left are asked for no more."""
        turn: dict[str, _Asked[Question, Answer]] = {}
        later: list[_Asked[Question, Answer]] = []
        for asked in self._waiting:
            if asked.answer.done():
                continue
            if asked.who in turn or len(turn) == self._most:
                later.append(asked)
            else:
                turn[asked.who] = asked
        self._waiting = later
        return turn

    async def _answer(self, turn: Mapping[str, _Asked[Question, Answer]]) -> None:
        try:
            found = await self._ask_all({who: asked.question for who, asked in turn.items()})
            answers = {who: found[who] for who in turn}
        except Exception as error:
            is_away = isinstance(error, (TimeoutError, *DATABASE_AWAY))
            if len(turn) > 1 and not is_away:
                for who, asked in turn.items():
                    await self._answer({who: asked})
                return
            for asked in turn.values():
                if not asked.answer.done():
                    asked.answer.set_exception(error)
        else:
            for who, asked in turn.items():
                if not asked.answer.done():
                    asked.answer.set_result(answers[who])
