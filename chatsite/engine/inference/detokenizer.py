"""Detokenizers: from tokens to text while they arrive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tokenizers.decoders import DecodeStream

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What follows an apostrophe without a space, and the marks that follow a word without one.
CONTRACTIONS = {"m", "s", "t", "d", "re", "ve", "ll"}
CLOSING_MARKS = tuple(".,!?)'")
CONTINUATION_MARK = "@@"
NEW_LINE_TOKEN = "__newln__"  # noqa: S105 - a token of the vocabulary, no secret.


class Detokenizer(Protocol):
    """Turns one token after the other into text."""

    def push_token(self, token: int) -> str:
        """Return the text that `token` completes; empty in the middle of a character."""


class IncrementalDetokenizer:
    """Turns tokens into text, and holds back characters whose bytes have not all come.

    `prefix_ids` are the ids of what was written already, on which it depends in some vocabularies whether a space comes
    next. `skip_space` drops one space at the very beginning: the one that BlenderBot's turns begin with, or the one
    that ends the prefix already.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prefix_ids: Sequence[int], skip_space: bool) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._decode_stream = DecodeStream(ids=list(prefix_ids), skip_special_tokens=True)
        self._skips_space = skip_space

    def push_token(self, token: int) -> str:
        """Return the text that `token` completes; empty in the middle of a character."""
        text = self._decode_stream.step(self._tokenizer, token) or ""
        if self._skips_space and text:
            self._skips_space = False
            return text.removeprefix(" ")
        return text


class WordDetokenizer:
    """Turns BlenderBot 90M's tokens into text, which stand for words and marks without saying where spaces are.

    `prefix_ids` are the ids of what was written already, `skip_space` says that it ends with a space. A mark stands at
    the word before it, and so does what an apostrophe cut off from a word ("don ' t").
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prefix_ids: Sequence[int], skip_space: bool) -> None:
        self._tokenizer = tokenizer
        self._special_ids = set(tokenizer.all_special_ids)
        self._is_inside_word = False
        self._last_word = ""
        for token in prefix_ids:
            self.push_token(token)
        self._last_word = "" if skip_space else self._last_word

    def push_token(self, token: int) -> str:
        """Return a word, a part of one, or a mark, with the space before it if there is one."""
        token_text = str(self._tokenizer.convert_ids_to_tokens(token))
        if token in self._special_ids:
            return ""
        if token_text == NEW_LINE_TOKEN:
            self._is_inside_word, self._last_word = False, ""
            return "\n"
        word, continues = token_text.removesuffix(CONTINUATION_MARK), token_text.endswith(CONTINUATION_MARK)
        space = "" if self._is_inside_word or self._attaches_to_last(word, continues) else " "
        self._last_word = self._last_word + word if self._is_inside_word else word
        self._is_inside_word = continues
        return space + word

    def _attaches_to_last(self, word: str, continues: bool) -> bool:
        """Say whether a word or mark stands right after the last one."""
        if self._last_word in {"", "("} or word.startswith(CLOSING_MARKS):
            return True
        return self._last_word == "'" and not continues and word in CONTRACTIONS
