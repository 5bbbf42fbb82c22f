"""From tokens to text while it is being written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers.decoders import DecodeStream

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Characters:
    """Turns one token after the other into text, holding back characters whose bytes have not all come.

    `skip_space` drops one space at the very beginning: the one that BlenderBot's turns begin with, or the one
    that ends the prefix already.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, skip_space: bool) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._skip_space = skip_space

    def push(self, token: int) -> str:
        """The text that `token` completes; empty in the middle of a character."""
        text = self._stream.step(self._tokenizer, token) or ""
        if self._skip_space and text:
            self._skip_space = False
            return text.removeprefix(" ")
        return text
