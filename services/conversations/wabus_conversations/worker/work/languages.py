"""Tells languages apart by words; what that takes is loaded once the first rule asks, for it is some 60 MB."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any

from wabus_conversations.routing.languages import Detect


def no_language(_: str) -> str | None:
    """For where no rule asks."""
    return None


class Languages:
    """What is loaded, for all organisations of a process."""

    def __init__(self) -> None:
        self._detect: Detect | None = None
        self._loading = asyncio.Lock()

    async def detector(self) -> Detect:
        """What tells the language of a text, or None where a text is too short to be sure. It takes some 50 µs."""
        async with self._loading:
            if self._detect is None:
                detect = await asyncio.to_thread(_load)
                self._detect = lambda text: _sure(detect, text)
        return self._detect


def _load() -> Callable[[str], Any]:
    return import_module("eld").LanguageDetector().detect


def _sure(detect: Callable[[str], Any], text: str) -> str | None:
    found = detect(text)
    return found.language if found.is_reliable() else None
