"""From turns to token ids: one file a family of models, which differ in how they read a conversation.

A format keeps the newest turns that fit, whole, and writes down what became of every turn. It is a pure
function of the request: it holds a tokenizer and the model's limits, and no state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from chatsite.engine import Prompt, Request, SeenTurn, reasons
from chatsite.engine.reasons import because
from chatsite.errors import EmptyMessageError, ModelUnavailableError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Ids of one turn's text; None for a turn without any text, which no model is shown.
Encoded = Sequence[int] | None
# Splits a turn's text into the texts of its tokens; the number says how many of its last tokens are wanted.
Split = Callable[[str, int], tuple[str, ...]]
# So many of the newest tokens are told one by one: enough to see how a text is split, and little to store.
MOST_PIECES = 1500


class Format(Protocol):
    """How one family of models reads a conversation. Called by the thread that computes."""

    @property
    def family(self) -> str:
        """The family's name, as in the catalogue."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts with which the format would go on after the answer, so that the answer ends before them."""

    def prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """The prompt for a request, and its receipt with the `options` that will be used.

        Raises PromptTooLongError when nothing of the newest turn fits, EmptyMessageError when it has no text.
        """

    def prefix(self, text: str) -> list[int]:
        """The ids of an answer's beginning, which follow the prompt; empty for no text."""

    def check(self) -> None:
        """Raise ModelUnavailableError unless the tokenizer does what the format rests on."""


def plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The ids of a text that a person wrote: a special token that it spells is split into ordinary pieces.

    T5's vocabulary holds its special tokens like words, which no splitting prevents; they become the unknown token.
    """
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
    ids, special = cast(list[int], encoded["input_ids"]), special_ids(tokenizer)
    unknown = cast(int | None, tokenizer.unk_token_id)
    if unknown is None or unknown in special:
        return ids
    return [unknown if token in special else token for token in ids]


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids that no text may become.

    What a tokenizer has no word for may become the unknown token, unless that is the end token too, as in GPT-2.
    """
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    others = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    return (added | set(tokenizer.all_special_ids)) - ({tokenizer.unk_token_id} - others)


def plain_pieces(tokenizer: PreTrainedTokenizerBase, text: str, most: int) -> tuple[str, ...]:
    """The text as its last `most` tokens split it, in whole characters; empty where the tokenizer cannot tell.

    What lies between two tokens, such as a space that the tokenizer does not count as part of one, belongs to the
    later one. A character of several tokens, like most emoji, makes them one piece.
    """
    if not tokenizer.is_fast:
        return ()
    encoded = tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
    )
    ends = [end for _, end in encoded["offset_mapping"]]
    if not ends:
        return ()
    first = max(len(ends) - most, 0)
    place = max(ends[:first], default=0)
    ends[-1] = len(text)
    return tuple(_slices(text, place, ends[first:]))


def _slices(text: str, place: int, ends: Sequence[int]) -> Iterator[str]:
    """The text from `place` on, cut at the ends that go further than those before them."""
    for end in ends:
        if end > place:
            yield text[place:end]
            place = end


def require_split(tokenizer: PreTrainedTokenizerBase, model: str) -> None:
    """Raise ModelUnavailableError if a text can forge one of the tokenizer's special tokens."""
    if set(plain_ids(tokenizer, " ".join(tokenizer.all_special_tokens))) & special_ids(tokenizer):
        raise ModelUnavailableError(reason=because(reasons.FORGEABLE, name=model))


def healed(prefix: str) -> str:
    """A prefix without the space at its end: models write a space together with the word that follows it."""
    return prefix.removesuffix(" ")


def longest_suffix(costs: Sequence[int | None], room: int) -> int:
    """The index from which on the items fit into `room` together; None costs nothing."""
    start = len(costs)
    while start > 0 and (costs[start - 1] or 0) <= room:
        room -= costs[start - 1] or 0
        start -= 1
    return start


def require_text(encoded: Sequence[Encoded]) -> Sequence[int]:
    """The ids of the newest turn. Raises EmptyMessageError when it has no text."""
    if not encoded or not encoded[-1]:
        raise EmptyMessageError
    return encoded[-1]


def seen(request: Request, encoded: Sequence[Encoded], start: int, newest: int, split: Split) -> tuple[SeenTurn, ...]:
    """What became of the turns: those from `start` on were kept, of the last one its `newest` last tokens."""
    last = len(encoded) - 1
    turns = [
        SeenTurn(
            index=index,
            role=request.turns[index].role,
            tokens=newest if index == last else len(ids or ()),
            kept=index >= start and bool(ids),
            cut=index == last and newest < len(ids or ()),
        )
        for index, ids in enumerate(encoded)
    ]
    return tuple(_with_pieces(request, turns, split))


def _with_pieces(request: Request, turns: list[SeenTurn], split: Split) -> list[SeenTurn]:
    """The turns, of which the newest kept ones are told token by token."""
    left = MOST_PIECES
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        wanted = turn.tokens if turn.cut else min(turn.tokens, left)
        if not turn.kept or wanted <= 0:
            continue
        turns[index] = replace(turn, pieces=split(request.turns[index].text, wanted))
        left -= wanted
    return turns
