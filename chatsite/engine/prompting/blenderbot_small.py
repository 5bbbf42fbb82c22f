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

from chatsite.engine import Prompt, Request, reasons
from chatsite.engine.prompting import Encoded, healed
from chatsite.engine.prompting.fitting import Frame, framed
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

WHITESPACE = re.compile(r"\s+")
BEFORE_PUNCTUATION = re.compile(r"(?=[.,!?()])")
NEW_LINE = "__newln__"
# How the vocabulary writes a piece that a word goes on after, and how the list of merges writes the end of a word.
GOES_ON = "@@"
WORD_END = "</w>"
UNKNOWN = "<unk>"

Piece = tuple[int, str]
"""An id and the text that it stands for."""


@dataclass(frozen=True)
class BlenderbotSmallFormat:
    """`context` is how many token ids the encoder reads.

    transformers' tokenizer for this model cannot say which letters a token stands for and remembers every word that it
    ever saw; here the same pieces come from the tokenizers library. `tokenizer` gives the vocabulary and the merges.
    """

    tokenizer: PreTrainedTokenizerBase
    model: str
    revision: str
    context: int
    family: str = "blenderbot-small"
    stop: tuple[str, ...] = ()

    def prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """At most `context` ids: the persona and the newest turns that fit."""
        encoded: list[Encoded] = [self.segment(turn.text) for turn in request.turns]
        frame = Frame(self.persona(request.persona), after=(self.delimiter,))
        return framed(self, request, encoded, frame, self.context, self.pieces, options)

    @cached_property
    def delimiter(self) -> int:
        """The id of the new line between turns."""
        return self._ids.get(NEW_LINE, -1)

    def segment(self, text: str) -> list[int] | None:
        """The ids of one turn, or None for no text."""
        return [number for number, _ in self._split(text)] or None

    def pieces(self, text: str, tokens: int) -> tuple[str, ...]:
        """How the last `tokens` tokens of a turn split what is read of it: lower case, with more spaces."""
        return tuple(piece for _, piece in self._split(text)[-tokens:])

    def persona(self, sentences: Sequence[str]) -> list[int]:
        """The ids of the pinned persona, each line with the new line after it."""
        lines = [self.segment(f"your persona: {line}") or [] for line in sentences if line.strip()]
        return [number for line in lines for number in (*line, self.delimiter)]

    def prefix(self, text: str) -> list[int]:
        """The ids of an answer's beginning."""
        return self.segment(healed(text)) or []

    def check(self) -> None:
        """Raise ModelUnavailableError unless the vocabulary holds the delimiter and no text can forge it."""
        if self.delimiter < 0:
            raise ModelUnavailableError(reason=because(reasons.OTHER_WRITING, name=self.model))

    def _split(self, text: str) -> list[Piece]:
        """The pieces of a text, each with the space before it if it begins a word that is not the first."""
        words = split_words(text)
        encoding = self._backend.encode(words, is_pretokenized=True) if words else None
        found: list[Piece] = []
        for number, word, (begin, end) in zip(
            *(encoding.ids, encoding.word_ids, encoding.offsets) if encoding else ((), (), ()), strict=True
        ):
            space = " " if found and begin == 0 else ""
            found.append((self._table[number], space + words[word][begin:end]))
        return found

    @cached_property
    def _ids(self) -> dict[str, int]:
        """The vocabulary without what was added to it."""
        tokenizer: Any = self.tokenizer
        return dict(tokenizer.encoder)

    @cached_property
    def _symbols(self) -> list[str]:
        """Everything that a word can be made of: letters of the vocabulary and of the merges, and what these give."""
        tokenizer: Any = self.tokenizer
        merges = [pair for pair in tokenizer.bpe_ranks if len(pair) == 2]
        letters = {letter for word in self._ids for letter in word}
        ends = {letter + WORD_END for letter in letters}
        return sorted({UNKNOWN} | letters | ends | {part for a, b in merges for part in (a, b, a + b)})

    @cached_property
    def _backend(self) -> Tokenizer:
        from tokenizers import Tokenizer, models

        tokenizer: Any = self.tokenizer
        merges = [pair for pair in tokenizer.bpe_ranks if len(pair) == 2]
        numbers = {symbol: number for number, symbol in enumerate(self._symbols)}
        return Tokenizer(models.BPE(numbers, merges, unk_token=UNKNOWN, end_of_word_suffix=WORD_END))

    @cached_property
    def _table(self) -> list[int]:
        """The vocabulary's id for each symbol; a special token that a text spells is an unknown one."""
        unknown = self._ids[str(self.tokenizer.unk_token)]
        special = {*self.tokenizer.all_special_ids, self.delimiter}
        ids = [self._ids.get(_spelled(symbol), unknown) for symbol in self._symbols]
        return [unknown if number in special else number for number in ids]


def _spelled(symbol: str) -> str:
    """A piece of a word as the vocabulary writes it."""
    return symbol.removesuffix(WORD_END) if symbol.endswith(WORD_END) else symbol + GOES_ON


def split_words(text: str) -> list[str]:
    """The words of a text as the model knows them: lower case, before each punctuation mark a new one."""
    spaced = BEFORE_PUNCTUATION.sub(" ", WHITESPACE.sub(" ", text)).replace("'", " ' ")
    return [word.lower() for word in spaced.split(" ") if word]
