"""The generic way through a model: transformers' own modules, one sequence at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from chatsite.engine.decoding.stepping import Row


class Reader(Protocol):
    """One sequence on its way through a model."""

    unread: list[int]
    """What is to be read next."""

    def advance(self, most: int) -> Tensor | None:
        """Read up to `most` ids.

        Gives the logits after it (float32, shape `[vocabulary]`), or None if more is to be read.
        """


class CausalReader:
    """A decoder-only model: prompt and answer are one sequence of at most `context` ids."""

    def __init__(self, model: Any, prompt: Sequence[int], prefix: Sequence[int]) -> None:
        from transformers import DynamicCache

        self._model = model
        self._cache = DynamicCache(config=model.config)
        self.unread = [*prompt, *prefix]

    def advance(self, most: int) -> Tensor | None:
        """Read a piece of the prompt, or the last token."""
        piece, self.unread = self.unread[:most], self.unread[most:]
        ids = torch.tensor([piece], device=self._model.device)
        output = self._model(ids, past_key_values=self._cache, logits_to_keep=1)
        return None if self.unread else output.logits[0, -1].float()


class EncoderDecoderReader:
    """An encoder that reads the prompt at once, and a decoder that writes at most `context` ids."""

    def __init__(self, model: Any, prompt: Sequence[int], prefix: Sequence[int]) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self._model = model
        self._prompt = torch.tensor([prompt], device=model.device)
        self._encoded: Any = None
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.unread = [model.config.decoder_start_token_id, *prefix]

    def advance(self, most: int) -> Tensor | None:
        """Read the prompt first, then what the decoder has not read yet; neither is ever long."""
        if self._encoded is None:
            self._encoded = self._model.get_encoder()(self._prompt)
        output = self._model(
            encoder_outputs=self._encoded,
            decoder_input_ids=torch.tensor([self.unread], device=self._model.device),
            past_key_values=self._cache,
        )
        self.unread = []
        logits: Tensor = output.logits[0, -1].float()
        return logits


class OneByOne:
    """A Stepper for any model that transformers runs: it works on one sequence at a time."""

    limit = 1

    def __init__(self, model: Any, encodes: bool) -> None:
        self._model = model
        self._encodes = encodes
        self._context = int(model.config.max_position_embeddings)
        self.rows: list[Row] = []

    def open(self, prompt: Sequence[int], prefix: Sequence[int], new: int) -> Row:
        """An encoder's positions are its own; otherwise prompt and answer share the context."""
        kind = EncoderDecoderReader if self._encodes else CausalReader
        reader = kind(self._model, prompt, prefix)
        room = self._context - len(prefix) - (0 if self._encodes else len(prompt))
        return Row(prompt, reader.unread, room, self._context, reader=reader)

    def bytes(self, row: Row) -> int:
        """One sequence alone always has room."""
        return 0

    @torch.inference_mode()
    def read(self, row: Row, most: int) -> Tensor | None:
        """Read a piece of the prompt."""
        logits: Tensor | None = row.reader.advance(most)
        row.unread = row.reader.unread
        return logits

    def join(self, row: Row) -> None:
        """It is the only one."""
        row.place = 0
        self.rows.append(row)

    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> Tensor:
        """One token of the one sequence."""
        row = rows[0]
        row.reader.unread = [row.token]
        logits: Tensor = row.reader.advance(1)
        return logits[None]

    def advance(self, row: Row) -> None:
        """Its cache has advanced by itself."""
        row.read += 1

    def leave(self, row: Row) -> None:
        """Drop its cache."""
        row.reader = None
        self.rows = [other for other in self.rows if other is not row]
