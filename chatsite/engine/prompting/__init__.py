"""From turns to token ids: one file a family of models, which differ in how they read a conversation.

A format keeps the newest turns that fit, whole, and writes down what became of every turn. It is a pure
function of the request: it holds a tokenizer and the model's limits, and no state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from chatsite.engine.types import Prompt, Request, TurnReport
from chatsite.errors import EmptyMessageError, ModelLoadError, load_reasons

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Ids of one turn's text; None for a turn without any text, which no model is shown.
EncodedTurn = Sequence[int] | None
# Splits a turn's text into the texts of its tokens; the number says how many of its last tokens are wanted.
SplitTokens = Callable[[str, int], tuple[str, ...]]
# So many of the newest tokens are told one by one: enough to see how a text is split, and little to store.
MAX_TOKEN_TEXTS = 1500


class PromptFormat(Protocol):
    """How one family of models reads a conversation; called by the thread that computes."""

    @property
    def family(self) -> str:
        """The family's name, as in the catalog."""

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Texts with which the format would go on after the answer; the answer ends before them."""

    def build_prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """Build the prompt of a request, with its report.

        Args: `options` are the sampling parameters that will be used, for the report. Returns: the ids of the prompt
        and what became of each turn. Raises: PromptTooLongError if nothing of the newest turn fits, EmptyMessageError
        if it has no text.
        """

    def encode_prefix(self, text: str) -> list[int]:
        """Return the ids of an answer's beginning, which follow the prompt; none for no text."""

    def reasoning_end_ids(self) -> tuple[int, ...]:
        """Return the ids that end the reasoning of a model that may think before it answers; none of others."""

    def require_valid_tokenizer(self) -> None:
        """Raise ModelLoadError unless the tokenizer does what the format relies on."""


def encode_user_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of a text that a person wrote; a special token in it is split into ordinary pieces.

    T5's vocabulary holds its special tokens like words, which no splitting prevents; they become the unknown token.
    """
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
    ids, forbidden_ids = cast(list[int], encoded["input_ids"]), special_ids(tokenizer)
    unknown_id = cast(int | None, tokenizer.unk_token_id)
    if unknown_id is None or unknown_id in forbidden_ids:
        return ids
    return [unknown_id if token in forbidden_ids else token for token in ids]


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the ids that no text may become.

    A text that the tokenizer has no word for may become the unknown token, unless that is the end token too, as in
    GPT-2.
    """
    added_ids = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    standard_ids = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    return (added_ids | set(tokenizer.all_special_ids)) - ({tokenizer.unk_token_id} - standard_ids)


def split_user_text(tokenizer: PreTrainedTokenizerBase, text: str, max_tokens: int) -> tuple[str, ...]:
    """Split a text into the texts of its last `max_tokens` tokens, in whole characters.

    Characters between two tokens, such as a space that the tokenizer does not count as part of one, belong to the later
    one. A character of several tokens, like most emoji, makes them one piece. The result is empty if the tokenizer
    cannot tell.
    """
    if not tokenizer.is_fast:
        return ()
    encoded = tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
    )
    ends = [end for _, end in encoded["offset_mapping"]]
    if not ends:
        return ()
    first = max(len(ends) - max_tokens, 0)
    begin = max(ends[:first], default=0)
    ends[-1] = len(text)
    return tuple(_iter_slices(text, begin, ends[first:]))


def _iter_slices(text: str, begin: int, ends: Sequence[int]) -> Iterator[str]:
    """Yield the text from `begin` on, cut at the ends that go further than those before them."""
    for end in ends:
        if end > begin:
            yield text[begin:end]
            begin = end


def require_unforgeable_special_tokens(tokenizer: PreTrainedTokenizerBase, model: str) -> None:
    """Raise ModelLoadError if a text can forge one of the tokenizer's special tokens."""
    if set(encode_user_text(tokenizer, " ".join(tokenizer.all_special_tokens))) & special_ids(tokenizer):
        raise ModelLoadError(reason=load_reasons.ForgeableTokensError(name=model))


def strip_trailing_space(prefix: str) -> str:
    """Return a prefix without the space at its end: models write a space with the word that follows it."""
    return prefix.removesuffix(" ")


def longest_suffix(token_counts: Sequence[int | None], tokens_left: int) -> int:
    """Return the index from which on all items fit into `tokens_left` together; None costs nothing."""
    start = len(token_counts)
    while start > 0 and (token_counts[start - 1] or 0) <= tokens_left:
        tokens_left -= token_counts[start - 1] or 0
        start -= 1
    return start


def require_newest_text(encoded: Sequence[EncodedTurn]) -> Sequence[int]:
    """Return the ids of the newest turn. Raises EmptyMessageError if it has no text."""
    if not encoded or not encoded[-1]:
        raise EmptyMessageError
    return encoded[-1]


def describe_turns(
    request: Request, encoded: Sequence[EncodedTurn], first_kept: int, *, newest_tokens: int, split_tokens: SplitTokens
) -> tuple[TurnReport, ...]:
    """Report what became of each turn.

    Turns from `first_kept` on were kept, of the newest one its last `newest_tokens` ids. `split_tokens` splits a turn's
    text into those of its tokens.
    """
    last_index = len(encoded) - 1
    turns = [
        TurnReport(
            index=index,
            role=request.turns[index].role,
            token_count=newest_tokens if index == last_index else len(ids or ()),
            is_kept=index >= first_kept and bool(ids),
            is_truncated=index == last_index and newest_tokens < len(ids or ()),
        )
        for index, ids in enumerate(encoded)
    ]
    return tuple(_with_token_texts(request, turns, split_tokens))


def _with_token_texts(request: Request, turns: list[TurnReport], split_tokens: SplitTokens) -> list[TurnReport]:
    """Add the texts of their tokens to the newest kept turns, up to MAX_TOKEN_TEXTS in all."""
    texts_left = MAX_TOKEN_TEXTS
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        wanted_tokens = turn.token_count if turn.is_truncated else min(turn.token_count, texts_left)
        if not turn.is_kept or wanted_tokens <= 0:
            continue
        turns[index] = replace(turn, token_texts=split_tokens(request.turns[index].text, wanted_tokens))
        texts_left -= wanted_tokens
    return turns
