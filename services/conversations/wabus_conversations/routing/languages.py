"""Which language a person writes in, as rules name it: by their words, else by the template that they answer. Pure."""

from collections.abc import Callable

Detect = Callable[[str], str | None]
"""The language of a text in ISO 639-1; None where its words do not show it well enough."""

_TOLD_APART = """
    am ar az be bg bn ca cs da de el en es et eu fa fi fr gu he hi hr hu hy is it ja ka kn ko ku lo lt lv ml mr ms nl no
    or pa pl pt ro ru sk sl sq sr sv ta te th tl tr uk ur vi yo zh
"""
_OF_TEMPLATES = """
    af sq ar az be bn bg ca zh hr cs da prs nl en et fil fi fr ka de el gu ha he hi hu id ga it ja kn kk rw ko ky lo lv
    lt mk ms ml mr nb ps fa pl pt pa ro ru sr si sk sl es sw sv ta te th tr uk ur uz vi zu
"""

TOLD_APART = frozenset(_TOLD_APART.split())
"""The languages that words are told apart as. Source: eld 1.0.6, "Languages", the set of 60."""

OF_TEMPLATES = frozenset(_OF_TEMPLATES.split())
"""The languages of templates, without their regions. Source: Meta, "Supported languages" (templates)."""

_SAME = {"id": "ms", "fil": "tl", "nb": "no", "nn": "no", "bs": "hr", "iw": "he", "in": "ms"}
"""Codes of what words do not tell apart, or what has two codes."""

KNOWN = TOLD_APART | OF_TEMPLATES | frozenset(_SAME)
"""What a rule may name."""


def one_of(languages: list[str], spoken: str | None) -> bool:
    """Whether somebody speaks one of these."""
    return spoken is not None and _plain(spoken) in {_plain(each) for each in languages}


def spoken_by(text: str | None, template_language: str | None, detect: Detect) -> str | None:
    """The language of somebody who wrote a text, to answer a template; None where nothing shows it.

    >>> spoken_by("ok", "pt_BR", lambda text: None)
    'pt'
    """
    found = detect(text) if text and not text.isspace() else None
    return found or (_plain(template_language) if template_language else None)


def _plain(code: str) -> str:
    language = code.replace("-", "_").partition("_")[0].lower()
    return _SAME.get(language, language)
