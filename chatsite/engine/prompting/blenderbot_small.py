"""BlenderBot 90M's own format, as its authors trained it (ParlAI, `projects/recipes`, the 90M model's options).

    [persona line] 4 [persona line] 4 [turn] 4 [turn] 4 … 4 [newest turn]

The token `__newln__` stands between turns, nothing closes them, and no token says who speaks. Everything is lower
case, and punctuation stands apart from words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chatsite.engine.prompting import EncodedTurn, strip_trailing_space
from chatsite.engine.prompting.fitting import EncodedRequest, TemplateTokens, assemble_prompt
from chatsite.engine.types import Prompt, Request
from chatsite.errors import ModelLoadError, load_reasons

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

WHITESPACE = re.compile(r"\s+")
BEFORE_PUNCTUATION = re.compile(r"(?=[.,!?()])")
NEW_LINE_TOKEN = "__newln__"  # noqa: S105 - a token of the vocabulary, no secret.
# How the vocabulary writes a piece that a word goes on after, and how the list of merges writes the end of a word.
CONTINUATION_MARK = "@@"
WORD_END_MARK = "</w>"
UNKNOWN_TOKEN = "<unk>"  # noqa: S105 - a token of the vocabulary, no secret.

TokenText = tuple[int, str]
"""An id and the text that it stands for."""


@dataclass(frozen=True)
class BlenderbotSmallFormat:
    """The prompt format of BlenderBot 90M, whose encoder reads `context_tokens` ids.

    transformers' tokenizer for this model cannot say which letters a token stands for and remembers every word that it
    ever saw; here the same pieces come from the tokenizers library. `tokenizer` gives the vocabulary and the merges.
    """

    tokenizer: PreTrainedTokenizerBase
    model: str
    revision: str
    context_tokens: int
    family: str = "blenderbot-small"
    stop_strings: tuple[str, ...] = ()

    def build_prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """Build at most `context_tokens` ids: the persona and the newest turns that fit."""
        encoded: list[EncodedTurn] = [self.encode_text(turn.text) for turn in request.turns]
        template = TemplateTokens(self.encode_persona(request.persona), separator_ids=(self.delimiter_id,))
        return assemble_prompt(self, EncodedRequest(request, encoded, template, self.context_tokens), options)

    @cached_property
    def delimiter_id(self) -> int:
        """The id of the new line between turns."""
        return self._vocabulary.get(NEW_LINE_TOKEN, -1)

    def encode_text(self, text: str) -> list[int] | None:
        """Return the ids of one turn, or None for no text."""
        return [number for number, _ in self._split_tokens(text)] or None

    def split_text(self, text: str, max_tokens: int) -> tuple[str, ...]:
        """Split a turn, in lower case and with more spaces, into the texts of its last `max_tokens` tokens."""
        return tuple(piece for _, piece in self._split_tokens(text)[-max_tokens:])

    def encode_persona(self, sentences: Sequence[str]) -> list[int]:
        """Return the ids of the pinned persona, each line followed by a new line."""
        lines = [self.encode_text(f"your persona: {line}") or [] for line in sentences if line.strip()]
        return [number for line in lines for number in (*line, self.delimiter_id)]

    def encode_prefix(self, text: str) -> list[int]:
        """Return the ids of an answer's beginning; none for no text."""
        return self.encode_text(strip_trailing_space(text)) or []

    def reasoning_end_ids(self) -> tuple[int, ...]:
        """Return none: the model does not think before it answers."""
        return ()

    def require_valid_tokenizer(self) -> None:
        """Raise ModelLoadError unless the vocabulary holds the delimiter."""
        if self.delimiter_id < 0:
            raise ModelLoadError(reason=load_reasons.TokenizerFormatError(name=self.model))

    def _split_tokens(self, text: str) -> list[TokenText]:
        """Return the pieces of a text, each with the space before it if it begins a word."""
        words = split_words(text)
        encoding = self._bpe_tokenizer.encode(words, is_pretokenized=True) if words else None
        token_texts: list[TokenText] = []
        for number, word, (begin, end) in zip(
            *(encoding.ids, encoding.word_ids, encoding.offsets) if encoding else ((), (), ()), strict=True
        ):
            space = " " if token_texts and begin == 0 else ""
            token_texts.append((self._symbol_ids[number], space + words[word][begin:end]))
        return token_texts

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        """The vocabulary without the tokens that were added to it."""
        tokenizer: Any = self.tokenizer
        return dict(tokenizer.encoder)

    @cached_property
    def _bpe_symbols(self) -> list[str]:
        """All symbols of a word: letters of the vocabulary and of the merges, and what these give."""
        tokenizer: Any = self.tokenizer
        merges = [pair for pair in tokenizer.bpe_ranks if len(pair) == 2]
        letters = {letter for word in self._vocabulary for letter in word}
        ends = {letter + WORD_END_MARK for letter in letters}
        return sorted({UNKNOWN_TOKEN} | letters | ends | {part for a, b in merges for part in (a, b, a + b)})

    @cached_property
    def _bpe_tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer, models

        tokenizer: Any = self.tokenizer
        merges = [pair for pair in tokenizer.bpe_ranks if len(pair) == 2]
        numbers = {symbol: number for number, symbol in enumerate(self._bpe_symbols)}
        return Tokenizer(models.BPE(numbers, merges, unk_token=UNKNOWN_TOKEN, end_of_word_suffix=WORD_END_MARK))

    @cached_property
    def _symbol_ids(self) -> list[int]:
        """The vocabulary's id of each symbol; a special token that a text spells is an unknown one."""
        unknown_id = self._vocabulary[str(self.tokenizer.unk_token)]
        special_ids = {*self.tokenizer.all_special_ids, self.delimiter_id}
        ids = [self._vocabulary.get(_vocabulary_spelling(symbol), unknown_id) for symbol in self._bpe_symbols]
        return [unknown_id if number in special_ids else number for number in ids]


def _vocabulary_spelling(symbol: str) -> str:
    """Return a piece of a word as the vocabulary writes it."""
    return symbol.removesuffix(WORD_END_MARK) if symbol.endswith(WORD_END_MARK) else symbol + CONTINUATION_MARK


def split_words(text: str) -> list[str]:
    """Split a text into words as the model knows them: lower case, before each punctuation mark a new one."""
    spaced = BEFORE_PUNCTUATION.sub(" ", WHITESPACE.sub(" ", text)).replace("'", " ' ")
    return [word.lower() for word in spaced.split(" ") if word]
