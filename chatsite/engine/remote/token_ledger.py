"""Counting tokens without a tokenizer: what servers say of whole prompts tells the cost of each turn.

A server says how many tokens it read and how many it wrote. What is known of all turns but one is the cost of that one,
frame included: `prompt(k+1) - prompt(k) - completion(k)` is exact for a question. So only the newest one is estimated.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

# Below the mean of English prose (four), because short questions, Spanish and code have more tokens than that.
FIRST_CHARS_PER_TOKEN = 2.5
MIN_CHARS_PER_TOKEN, MAX_CHARS_PER_TOKEN = 0.5, 8.0
# What a template puts around a turn, about, until it is known.
FRAME_TOKENS = 5
MAX_REMEMBERED_TURNS = 20_000
# Each turn counts for the ratio, and newer ones for more.
OLD_WEIGHT = 0.9


class TokenLedger:
    """The costs of turns that one model was asked with, by their text. At most 20,000 of them are remembered."""

    def __init__(self) -> None:
        self._costs: OrderedDict[bytes, float] = OrderedDict()
        self._chars, self._tokens = 0.0, 0.0

    @property
    def is_calibrated(self) -> bool:
        """Whether the ratio of characters to tokens comes from this model."""
        return self._tokens > 0

    @property
    def chars_per_token(self) -> float:
        """The characters of a token, in the mean."""
        if not self.is_calibrated:
            return FIRST_CHARS_PER_TOKEN
        return min(max(self._chars / self._tokens, MIN_CHARS_PER_TOKEN), MAX_CHARS_PER_TOKEN)

    def find_cost(self, role: str, text: str) -> float | None:
        """Return what a turn is known to cost, in tokens with its frame, or None."""
        key = _key(role, text)
        if key in self._costs:
            self._costs.move_to_end(key)
        return self._costs.get(key)

    def estimate_cost(self, role: str, text: str) -> float:
        """Return what a turn costs, or about what it will cost if that is not known."""
        known = self.find_cost(role, text)
        return len(text) / self.chars_per_token + FRAME_TOKENS if known is None else known

    def apply_count(self, turns: Sequence[tuple[str, str]], prompt_tokens: int) -> None:
        """Learn from a prompt of `turns` (role and text) that the server counted.

        What is not known of it yet is shared among the unknown turns in proportion to their estimates.
        """
        known = [self.find_cost(role, text) for role, text in turns]
        estimates = [self.estimate_cost(role, text) for role, text in turns]
        rest = prompt_tokens - sum(cost for cost in known if cost is not None)
        unknown_sum = sum(estimate for cost, estimate in zip(known, estimates, strict=True) if cost is None)
        if not unknown_sum:
            # The costs of before were shared wrongly: all are corrected alike.
            self._rescale(turns, prompt_tokens / max(sum(estimates), 1.0))
            return
        factor = max(rest, 1.0) / unknown_sum
        for (role, text), cost, estimate in zip(turns, known, estimates, strict=True):
            if cost is None:
                self._remember(role, text, estimate * factor)
        unknown_chars = sum(len(text) for (_, text), cost in zip(turns, known, strict=True) if cost is None)
        frames = FRAME_TOKENS * sum(cost is None for cost in known)
        self._calibrate(unknown_chars, max(rest - frames, 1.0))

    def note_answer(self, text: str, tokens: int) -> None:
        """Learn what an answer cost that the server has written."""
        self._remember("assistant", text, tokens)
        self._calibrate(len(text), tokens)

    def _rescale(self, turns: Sequence[tuple[str, str]], factor: float) -> None:
        for key in {_key(role, text) for role, text in turns}:
            self._costs[key] *= factor

    def _calibrate(self, chars: float, tokens: float) -> None:
        self._chars = OLD_WEIGHT * self._chars + chars
        self._tokens = OLD_WEIGHT * self._tokens + tokens

    def _remember(self, role: str, text: str, cost: float) -> None:
        self._costs[_key(role, text)] = cost
        while len(self._costs) > MAX_REMEMBERED_TURNS:
            self._costs.popitem(last=False)


def _key(role: str, text: str) -> bytes:
    # Answers lose the white space around them before they are stored.
    return hashlib.blake2b(f"{role}\0{text.strip()}".encode("utf-8", "replace"), digest_size=16).digest()
