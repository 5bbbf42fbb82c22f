"""BlenderBot's decoder (Roller et al., 2020), one token of many sequences at a time.

A pre-norm Transformer with learned positions. In transformers' module all rows of a call share one position, so
that rows cannot join in the middle; here each row has its own. Query, key and value of the self-attention are one
matrix, and what the cross-attention needs of the prompt is computed once a request. The encoder stays
transformers' own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from chatsite.engine.decoding.compiled_blenderbot import CompiledBlenderbot, can_compile
from chatsite.engine.decoding.packing import Matrix, leave_file, packing, step_threads
from chatsite.engine.decoding.places import Part, Places, together
from chatsite.engine.decoding.slots import Slots, attend, visible
from chatsite.engine.decoding.stepping import Row, embed_ids

LIMIT = 16
# All of them with the ten beams that the model was published with.
BREADTH = 160

Attend = Callable[[int, Tensor], Tensor]
"""Attention of one layer: its number and `[rows, heads, width]` to `[rows, hidden]`."""
Norm = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Layer:
    """One layer of the decoder."""

    before: Norm
    qkv: Matrix
    out: Matrix
    between: Norm
    query: Matrix
    source: Matrix
    cross_out: Matrix
    last: Norm
    up: Matrix
    down: Matrix


def fits(model: Any) -> bool:
    """Whether a model is of this architecture."""
    config = model.config
    return bool(config.model_type == "blenderbot" and config.activation_function == "gelu")


class LeanBlenderbot:
    """Runs many sequences through a model that `fits`; with `eight_bits`, its decoder is in integers."""

    limit = LIMIT
    breadth = BREADTH

    def __init__(self, model: Any, eight_bits: bool = False) -> None:
        config, decoder = model.config, model.model.decoder
        if eight_bits:
            # Norms and biases are kept as they are.
            leave_file(model, matrices=False)
        self._context: int = config.max_position_embeddings
        self._start: int = config.decoder_start_token_id
        self._heads: int = config.decoder_attention_heads
        self._width = config.d_model // self._heads
        self._encoder = model.get_encoder()
        self._embedding: Tensor = decoder.embed_tokens.weight
        self._scale = math.sqrt(config.d_model) if config.scale_embedding else 1.0
        self._positions: Tensor = decoder.embed_positions.weight
        self._end: Norm = decoder.layer_norm
        self._layers = [_layer(layer, eight_bits) for layer in decoder.layers]
        self._head = packing(eight_bits)(model.lm_head.weight, model.final_logits_bias[0])
        sizes = (len(self._layers), self._heads, self._width, self._embedding)
        self._slots = Slots(*sizes)
        self._places = Places(lambda: [Slots(*sizes), Slots(*sizes)], self._embedding)
        if eight_bits:
            # The floats of the decoder's matrices are most of the memory, and nothing reads them any more.
            decoder.layers = torch.nn.ModuleList()
            leave_file(model, matrices=True)
        fit = eight_bits and can_compile(config.d_model, config.decoder_ffn_dim)
        self.compiled = self._compile() if fit else None

    def _compile(self) -> CompiledBlenderbot:
        """The whole step as compiled code."""
        floats = self._embedding, self._positions, self._end
        return CompiledBlenderbot(self._layers, self._head, *floats, self._heads, self._scale)

    @property
    def rows(self) -> list[Row]:
        """The running sequences, by their places."""
        return self._places.rows

    def open(self, prompt: Sequence[int], prefix: Sequence[int], new: int, beams: int = 1) -> Row:
        """The encoder reads the prompt, the decoder begins with its start token and the prefix."""
        unread = [*prompt, self._start, *prefix]
        room = self._context - len(prefix)
        return Row(prompt, unread, room, 1 + len(prefix) + beams * max(0, min(new, room - 1)), beams)

    def bytes(self, row: Row) -> int:
        """Keys and values of the prompt and of every position that the answer may reach."""
        return self._slots.bytes(row.most + len(row.prompt))

    @torch.inference_mode()
    def read(self, row: Row, most: int) -> Tensor | None:
        """Encode the prompt, which is never long; at the next call, read the answer's beginning."""
        if not row.caches:
            row.unread = row.unread[len(row.prompt) :]
            row.caches = (self._slots.space(1, len(row.unread)), self._encode(row.prompt))
            return None
        piece, row.unread = row.unread[:most], row.unread[most:]
        begin, row.read = row.read, row.read + len(piece)
        own, source = row.caches
        if self.compiled:
            logits = self.compiled.read(piece, begin, own, source)
        else:
            attends = self._attend_piece(own, begin, row.read), self._attend_source(source, None)
            positions = torch.arange(begin, row.read, device=self._embedding.device)
            logits = self._head(self._through(piece, positions, *attends)[-1:])[0].float()
        return None if row.unread else logits

    def _encode(self, prompt: Sequence[int]) -> Tensor:
        """Keys and values of a prompt for all layers (`[layers, 2, 1, heads, positions, width]`)."""
        encoded = self._encoder(embed_ids(list(prompt), self._embedding)[None])[0][0]
        made = torch.stack([layer.source(encoded) for layer in self._layers])
        return made.view(len(made), len(prompt), 2, 1, -1, self._width).permute(0, 2, 3, 4, 1, 5).contiguous()

    def join(self, row: Row) -> None:
        """Move what was read to a place of its own."""
        source = len(row.prompt)
        self._places.add(row, [row.read, source], [row.most, source])

    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> Tensor:
        """One token of each beam of the rows."""
        parts = self._places.parts(rows)
        tokens = [token for row in rows for token in row.tokens]
        if self.compiled:
            return self.compiled.step(tokens, parts)
        sizes = [part.sequences for part in parts]
        reads = embed_ids([row.read for row in rows for _ in row.tokens], self._embedding)
        own = together([self._attend_step(part) for part in parts], sizes)
        source = together([self._attend_sources(part) for part in parts], sizes)
        with step_threads(len(tokens)):
            return self._head(self._through(tokens, reads, own, source)).float()

    def advance(self, row: Row) -> None:
        """Its tokens are part of what was read."""
        self._places.advance(row)

    def reorder(self, row: Row, parents: Sequence[int]) -> None:
        """Each beam goes on from what its parent has read."""
        self._places.reorder(row, parents)

    def leave(self, row: Row) -> None:
        """Free its place; the last one moves there."""
        self._places.remove(row)

    def _through(self, ids: Sequence[int], positions: Tensor, own: Attend, source: Attend) -> Tensor:
        """All layers: `ids` and their `positions` (`[rows]`) to normalised hidden states `[rows, hidden]`."""
        x = self._embedding[embed_ids(ids, self._embedding)] * self._scale + self._positions[positions]
        for number, layer in enumerate(self._layers):
            x = x + layer.out(own(number, self._split(layer.qkv(layer.before(x)))))
            x = x + layer.cross_out(source(number, self._split(layer.query(layer.between(x)))))
            x = x + layer.down(functional.gelu(layer.up(layer.last(x))))
        return self._end(x)

    def _split(self, x: Tensor) -> Tensor:
        """`[rows, heads * width]` to `[rows, heads, width]`."""
        return x.view(len(x), -1, self._width)

    def _attend_piece(self, cache: Tensor, begin: int, end: int) -> Attend:
        """Self-attention within one sequence, whose positions `begin` to `end` are new; `cache` is its own."""
        mask = visible(torch.arange(begin, end, device=cache.device) + 1, end, cache)
        mask = None if mask is None else mask.view(1, 1, end - begin, end)

        def piece(number: int, heads: Tensor) -> Tensor:
            queries, new_keys, new_values = heads.chunk(3, 1)
            keys, values = cache[number]
            keys[0, :, begin:end] = new_keys.transpose(0, 1)
            values[0, :, begin:end] = new_values.transpose(0, 1)
            return attend(queries, keys[:, :, :end], values[:, :, :end], mask)

        return piece

    def _attend_step(self, part: Part) -> Attend:
        """Self-attention of one new position of each beam of some rows."""
        cache = part.rank.slots[0].cache[:, :, part.places]
        where = (part.numbers, torch.arange(self._heads, device=cache.device)[None], part.positions)

        def step(number: int, heads: Tensor) -> Tensor:
            queries, new_keys, new_values = heads.chunk(3, 1)
            keys, values = cache[number]
            keys.index_put_(where, new_keys)
            values.index_put_(where, new_values)
            return attend(queries, keys[:, :, : part.end], values[:, :, : part.end], part.mask)

        return step

    def _attend_sources(self, part: Part) -> Attend:
        """Attention of some rows to their prompts."""
        lengths = [len(row.prompt) for row in part.rows]
        longest = max(lengths)
        cache = part.rank.slots[1].cache[:, :, part.places, :, :longest]
        return self._attend_source(cache, visible(embed_ids(lengths, cache), longest, cache))

    def _attend_source(self, cache: Tensor, mask: Tensor | None) -> Attend:
        """Attention of all sequences of some rows to what is there once a row (`cache`)."""

        def source(number: int, heads: Tensor) -> Tensor:
            keys, values = cache[number]
            return attend(heads, keys, values, mask)

        return source


def _layer(layer: Any, eight_bits: bool) -> Layer:
    own, cross = layer.self_attn, layer.encoder_attn
    return Layer(
        before=layer.self_attn_layer_norm,
        qkv=_fuse([own.q_proj, own.k_proj, own.v_proj], eight_bits),
        out=_fuse([own.out_proj], eight_bits),
        between=layer.encoder_attn_layer_norm,
        query=_fuse([cross.q_proj], eight_bits),
        source=_fuse([cross.k_proj, cross.v_proj], eight_bits),
        cross_out=_fuse([cross.out_proj], eight_bits),
        last=layer.final_layer_norm,
        up=_fuse([layer.fc1], eight_bits),
        down=_fuse([layer.fc2], eight_bits),
    )


def _fuse(linears: list[Any], eight_bits: bool) -> Matrix:
    """Linear modules as one matrix; they keep working on views of it, so that nothing is stored twice."""
    weight = linears[0].weight if len(linears) == 1 else torch.cat([linear.weight for linear in linears]).detach()
    bias = torch.cat([linear.bias for linear in linears]).detach()
    if len(linears) > 1 and not eight_bits:
        for linear, part in zip(linears, torch.split(weight, [len(linear.weight) for linear in linears]), strict=True):
            linear.weight = torch.nn.Parameter(part, requires_grad=False)
    return packing(eight_bits)(weight, bias)
