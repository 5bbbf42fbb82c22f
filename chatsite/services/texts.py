"""Texts that people type, as they are stored."""

from __future__ import annotations

import unicodedata

from chatsite.errors import ControlCharactersError

WHITE_SPACE = {"\n", "\t"}


def line_ends(text: str) -> str:
    """The text with line ends as `\\n`; browsers send others."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def tidy(text: str) -> str:
    """The text with line ends as `\\n` and nothing around it. Raises ControlCharactersError."""
    text = line_ends(text).strip()
    if kinds(text) & {"Cc", "Cs"}:
        raise ControlCharactersError
    return text


def kinds(text: str) -> set[str]:
    """The Unicode categories of its characters, without line ends and tabs."""
    return {unicodedata.category(character) for character in set(text) - WHITE_SPACE}


def fold(text: str) -> str:
    """The text without capitals and accents, as people look for it."""
    bare = unicodedata.normalize("NFD", text.casefold())
    return "".join(character for character in bare if not unicodedata.combining(character))
