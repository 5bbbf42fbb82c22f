"""What of a text can be seen: titles, names and questions are made of that.

The module `regex` knows the characters of the newest Unicode; Python's own `unicodedata` takes new emoji for nothing.
"""

from __future__ import annotations

import regex

# Colors, links, titles and character sets of a terminal. Those that begin with one character of the range C1 are no
# commands here: it is more often a quotation mark that was read in the wrong encoding.
_TERMINAL_COMMAND = regex.compile(
    r"\x1b\[[0-?]*+[ -/]*+[@-~]|\x1b\][^\x07\x1b\n]*+(?:\x07|\x1b\\)|\x1b[()*+][0-9A-Za-z]|\x1b[78=>cDEHMNOZ]"
)
# What separates lines or pages in other places: form feed, vertical tab, NEL and Unicode's own.
_OTHER_LINE_END = regex.compile(r"\r\n?|[\f\v\x85\u2028\u2029]")
_CONTROL = regex.compile(r"(?![\n\t])\p{Cc}")
_SURROGATE = regex.compile(r"\p{Cs}")
# Marks that turn the direction of writing make a line read otherwise than it is.
_DIRECTION_MARK = regex.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# The letters of a flag's region belong to a black flag, and are nothing anywhere else.
_FLAG = regex.compile("(\U0001f3f4[\U000e0020-\U000e007f]++)|[\U000e0020-\U000e007f]++")
_NOTHING = (
    r"\p{Cc}\p{Cf}\p{Cs}\p{Zs}\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}"
    # Braille without a dot is a letter, and as blank as a space.
    "\u2800"
)
# Joiners and variation selectors are part of how words and emoji are written.
_INVISIBLE = regex.compile(
    f"[[{_NOTHING}]--[\\s\u2800\u200c\u200d\\p{{Variation_Selector}}\U000e0020-\U000e007f]]", regex.VERSION1
)
_BLANK_TEXT = regex.compile(f"[{_NOTHING}\\s]*+")
_CLUSTER = regex.compile(r"\X")


def has_visible_text(text: str) -> bool:
    """Return whether there is anything to be seen in a text."""
    return _BLANK_TEXT.fullmatch(text) is None


def remove_invisible(text: str) -> str:
    """Return a text with only what can be seen, in its lines."""
    return _INVISIBLE.sub("", _FLAG.sub(r"\1", _remove_terminal_commands(text)))


def visible_line(text: str) -> str:
    """Return a text as one line with single spaces, without what cannot be seen; empty if nothing can."""
    line = " ".join(remove_invisible(text).split())
    return line if has_visible_text(line) else ""


def remove_controls(text: str) -> str:
    """Return a text with `\\n` as its only line end, and without control characters and commands of a terminal.

    Halves of surrogate pairs, which no database holds, become U+FFFD.
    """
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _remove_terminal_commands(text)))


def _remove_terminal_commands(text: str) -> str:
    return _TERMINAL_COMMAND.sub("", _OTHER_LINE_END.sub("\n", text))


def mark_direction_marks(text: str) -> str:
    """Return a text with a visible sign for each mark that turns the direction of writing."""
    return _DIRECTION_MARK.sub("\ufffd", text)


def cluster_ends(text: str) -> list[int]:
    """Return where the characters that a reader sees end: accents, flags and families of emoji are one each."""
    return [match.end() for match in _CLUSTER.finditer(text)]
