"""From tokens to text while it is being written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tokenizers.decoders import DecodeStream

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What follows an apostrophe without a space, and the marks that follow a word without one.
CONTRACTIONS = {"m", "s", "t", "d", "re", "ve", "ll"}
CLOSING = tuple(".,!?)'")
GOES_ON = "@@"
NEW_LINE = "__newln__"


class Characters(Protocol):
    """Turns one token after the other into text."""

    def push(self, token: int) -> str:
        """The text that `token` completes; empty in the middle of a character."""


class Stream:
    """The text of tokens, where characters whose bytes have not all come are held back.

    `before` are the ids of what was written already, on which it depends in some vocabularies whether a space comes
    next. `skip_space` drops one space at the very beginning: the one that BlenderBot's turns begin with, or the one
    that ends the prefix already.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, before: Sequence[int], skip_space: bool) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._stream = DecodeStream(ids=list(before), skip_special_tokens=True)
        self._skip_space = skip_space

    def push(self, token: int) -> str:
        """The text that `token` completes; empty in the middle of a character."""
        text = self._stream.step(self._tokenizer, token) or ""
        if self._skip_space and text:
            self._skip_space = False
            return text.removeprefix(" ")
        return text


class Words:
    """The text of BlenderBot 90M's tokens, which stand for words and marks without saying where spaces are.

    `before` are the ids of what was written already, `skip_space` says that it ends with a space. A mark stands at
    the word before it, and so does what an apostrophe cut off from a word ("don ' t").
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, before: Sequence[int], skip_space: bool) -> None:
        self._tokenizer = tokenizer
        self._special = set(tokenizer.all_special_ids)
        self._inside = False
        self._last = ""
        for token in before:
            self.push(token)
        self._last = "" if skip_space else self._last

    def push(self, token: int) -> str:
        """A word, a part of one, or a mark, with the space before it if there is one."""
        name = str(self._tokenizer.convert_ids_to_tokens(token))
        if token in self._special:
            return ""
        if name == NEW_LINE:
            self._inside, self._last = False, ""
            return "\n"
        word, goes_on = name.removesuffix(GOES_ON), name.endswith(GOES_ON)
        space = "" if self._inside or self._joins(word, goes_on) else " "
        self._last = self._last + word if self._inside else word
        self._inside = goes_on
        return space + word

    def _joins(self, word: str, goes_on: bool) -> bool:
        """Whether a word or mark stands right after the last one."""
        if self._last in {"", "("} or word.startswith(CLOSING):
            return True
        return self._last == "'" and not goes_on and word in CONTRACTIONS
