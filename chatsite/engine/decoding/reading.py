"""A model that reads one sequence step by step and says what it expects next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

# A prompt is read in pieces, so that a long one can be cancelled on the way.
PIECE = 256


class Reader(Protocol):
    """One sequence on its way through a model."""

    room: int
    """How many tokens can still be written before the model's positions end."""

    def advance(self) -> Tensor | None:
        """Read the next piece.

        Gives the logits after it (float32, shape `[vocabulary]`), or None if more is to be read.
        """

    def append(self, token: int) -> None:
        """Let `token` be what is read next."""


class CausalReader:
    """A decoder-only model: prompt and answer are one sequence of at most `context` ids."""

    def __init__(self, model: Any, context: int, prompt: Sequence[int], prefix: Sequence[int]) -> None:
        from transformers import DynamicCache

        self._model = model
        self._cache = DynamicCache(config=model.config)
        self._unread = [*prompt, *prefix]
        self.room = context - len(self._unread)

    def advance(self) -> Tensor | None:
        """Read up to PIECE ids."""
        piece, self._unread = self._unread[:PIECE], self._unread[PIECE:]
        with torch.inference_mode():
            output = self._model(torch.tensor([piece]), past_key_values=self._cache, logits_to_keep=1)
            return None if self._unread else output.logits[0, -1].float()

    def append(self, token: int) -> None:
        """Let `token` be what is read next."""
        self._unread = [token]
        self.room -= 1


class EncoderDecoderReader:
    """An encoder that reads the prompt at once, and a decoder that writes at most `context` ids."""

    def __init__(self, model: Any, context: int, prompt: Sequence[int], prefix: Sequence[int]) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self._model = model
        self._prompt = torch.tensor([prompt])
        self._encoded: Any = None
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._unread = [model.config.decoder_start_token_id, *prefix]
        self.room = context - len(prefix)

    def advance(self) -> Tensor | None:
        """Read the prompt first, then what the decoder has not read yet."""
        with torch.inference_mode():
            if self._encoded is None:
                self._encoded = self._model.get_encoder()(self._prompt)
            output = self._model(
                encoder_outputs=self._encoded,
                decoder_input_ids=torch.tensor([self._unread]),
                past_key_values=self._cache,
            )
            logits: Tensor = output.logits[0, -1].float()
            return logits

    def append(self, token: int) -> None:
        """Let `token` be what is read next."""
        self._unread = [token]
        self.room -= 1
