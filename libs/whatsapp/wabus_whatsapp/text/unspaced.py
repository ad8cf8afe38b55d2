"""Finds text in scripts that write no spaces between words: by any part of it, as others are found by words. Pure.

Chinese, Japanese, Thai, Lao, Khmer and Burmese have none; Korean has, but writes particles and endings to its words.
A run of their letters is found by its bigrams, the letters two by two: 我想退款 by 我想, 想退 and 退款. The last letter
stands alone besides, so that a single letter is found by what begins with it.
"""

import re
from typing import NamedTuple
from unicodedata import normalize

_HAN = "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u3099-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb"
_THAI_AND_LAO = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e81-\u0ebd\u0ec0-\u0ece\u0ed0-\u0ed9\u0edc-\u0edf"
_BURMESE_AND_KHMER = "\u1000-\u1049\u1050-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f\u1780-\u17d3\u17d7\u17dc\u17dd\u17e0-\u17e9"
_HALF_WIDTH = "\uff66-\uffdc"
"""Letters and digits, without punctuation. Source: Unicode 15.0, code charts."""

_LETTER = f"[{_HAN}{_KANA}{_HANGUL}{_THAI_AND_LAO}{_BURMESE_AND_KHMER}{_HALF_WIDTH}]"
_UNSPACED = re.compile(_LETTER)
_PART = re.compile(rf"(?P<run>{_LETTER}+)|(?:(?!{_LETTER})\w)+")

IGNORED = "[\u00ad\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
"""What stands between letters and is not seen, as a regular expression of Python and of PostgreSQL: some keyboards put
it where a line may break, others don't.
"""
_IGNORED = re.compile(IGNORED)
_LONGEST_WORD = 100  # characters, of one beside such a run: nobody looks for a longer one, and an index takes none


class Asked(NamedTuple):
    """What a text has to have, all of it, so that what is asked for is in it."""

    words: tuple[str, ...]
    """Each is one of `pieces`."""
    beginnings: tuple[str, ...]
    """With each of these one of `pieces` begins."""
    runs: tuple[str, ...]
    """Each stands in the text once it is `plain`: of three letters or more all bigrams may be there without the run."""


def pieces(text: str) -> str | None:
    """What a text is found by, each once, with spaces between; None where it has no letters of these scripts.

    >>> pieces("我想退款，iPhone手机"), pieces("the red shoes")
    ('我想 想退 退款 款 iphone 手机 机', None)
    """
    if text.isascii() or not _UNSPACED.search(text):
        return None
    found: dict[str, None] = {}
    for part in _PART.finditer(plain(text)):
        found |= dict.fromkeys((*_bigrams(part[0]), part[0][-1]) if part["run"] else _words(part[0]))
    return " ".join(found)


def asked(text: str) -> Asked:
    """What to look for among `pieces`, for somebody who asks for a text.

    >>> asked("退款 iPhone 我")
    Asked(words=('退款', 'iphone'), beginnings=('我',), runs=())
    """
    words: dict[str, None] = {}
    beginnings: dict[str, None] = {}
    runs: dict[str, None] = {}
    for part in _PART.finditer(plain(text)):
        if not part["run"]:
            words |= dict.fromkeys(_words(part[0]))
        elif len(part[0]) == 1:
            beginnings[part[0]] = None
        else:
            words |= dict.fromkeys(_bigrams(part[0]))
            if len(part[0]) > 2:
                runs[part[0]] = None
    return Asked(tuple(words), tuple(beginnings), tuple(runs))


def plain(text: str) -> str:
    """The text as it is compared: of a letter's forms one (Unicode Annex 15, NFKC), and nothing that is not seen."""
    return _IGNORED.sub("", normalize("NFKC", text))


def _bigrams(run: str) -> list[str]:
    return [run[begin : begin + 2] for begin in range(len(run) - 1)]


def _words(word: str) -> list[str]:
    return [word.lower()] if len(word) <= _LONGEST_WORD else []
