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

from chatsite.engine.decoding.packing import Matrix, half_the_threads, packing
from chatsite.engine.decoding.slots import Places, Slots, visible
from chatsite.engine.decoding.stepping import Row, embed_ids

LIMIT = 16

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

    def __init__(self, model: Any, eight_bits: bool = False) -> None:
        config, decoder = model.config, model.model.decoder
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
        sizes = (len(self._layers), 2 * self._heads, self._width, self._embedding)
        self._own, self._source = Slots(*sizes), Slots(*sizes)
        self._places = Places(self._own, self._source)
        if eight_bits:
            # The floats of the decoder's matrices are most of the memory, and nothing reads them any more.
            decoder.layers = torch.nn.ModuleList()

    @property
    def rows(self) -> list[Row]:
        """The running sequences, by their places."""
        return self._places.rows

    def open(self, prompt: Sequence[int], prefix: Sequence[int], new: int) -> Row:
        """The encoder reads the prompt, the decoder begins with its start token and the prefix."""
        unread = [*prompt, self._start, *prefix]
        most = min(self._context, 1 + len(prefix) + new)
        return Row(prompt, unread, self._context - len(prefix), most)

    def bytes(self, row: Row) -> int:
        """Keys and values of the prompt and of every position that the answer may reach."""
        return self._own.bytes(row.most) + self._source.bytes(len(row.prompt))

    @torch.inference_mode()
    def read(self, row: Row, most: int) -> Tensor | None:
        """Encode the prompt, which is never long; at the next call, read the answer's beginning."""
        if not row.caches:
            row.caches = (self._own.space(1, row.most), self._encode(row.prompt))
            row.unread = row.unread[len(row.prompt) :]
            return None
        piece, row.unread = row.unread[:most], row.unread[most:]
        end = row.read + len(piece)
        own, source = row.caches
        attends = self._attend_piece(own, row.read, end), self._attend_source(source, None, source.shape[3])
        x = self._through(piece, torch.arange(row.read, end, device=self._embedding.device), *attends)
        row.read = end
        return None if row.unread else self._head(x[-1:])[0].float()

    def _encode(self, prompt: Sequence[int]) -> Tensor:
        """Keys and values of a prompt for all layers (`[layers, 1, heads, positions, width]`)."""
        encoded = self._encoder(embed_ids(list(prompt), self._embedding)[None])[0][0]
        made = [layer.source(encoded).view(len(prompt), -1, self._width).transpose(0, 1) for layer in self._layers]
        return torch.stack(made)[:, None]

    def join(self, row: Row) -> None:
        """Move what was read to a place of its own."""
        source = len(row.prompt)
        self._places.add(row, [row.read, source], [row.most, source])

    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> Tensor:
        """One token of each of the rows."""
        places = slice(rows[0].place, rows[-1].place + 1)
        reads = embed_ids([row.read for row in rows], self._embedding)
        lengths = embed_ids([len(row.prompt) for row in rows], self._embedding)
        longest = max(len(row.prompt) for row in rows)
        own = self._attend_step(places, reads, max(row.read for row in rows) + 1)
        source = self._attend_source(self._source.cache[:, places], visible(lengths, longest, self._embedding), longest)
        with half_the_threads():
            return self._head(self._through([row.token for row in rows], reads, own, source)).float()

    def advance(self, row: Row) -> None:
        """Its token is part of what was read."""
        self._places.advance(row)

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
        mask = None if mask is None else mask.view(end - begin, end)

        def attend(number: int, heads: Tensor) -> Tensor:
            queries, new = heads.transpose(0, 1).split_with_sizes([self._heads, 2 * self._heads])
            own = cache[number, 0]
            own[:, begin:end] = new
            keys, values = own[None, :, :end].chunk(2, 1)
            seen = functional.scaled_dot_product_attention(queries[None], keys, values, attn_mask=mask)
            return seen[0].transpose(0, 1).flatten(1)

        return attend

    def _attend_step(self, places: slice, reads: Tensor, end: int) -> Attend:
        """Self-attention of one new position in each of some places; `reads` (`[rows]`) is where it is."""
        cache = self._own.cache[:, places]
        mask = visible(reads + 1, end, cache)
        numbers = torch.arange(len(reads), device=reads.device)[:, None]
        every = torch.arange(2 * self._heads, device=reads.device)[None]
        where = (numbers, every, reads[:, None])

        def attend(number: int, heads: Tensor) -> Tensor:
            own = cache[number]
            own.index_put_(where, heads[:, self._heads :])
            keys, values = own[:, :, :end].chunk(2, 1)
            queries = heads[:, : self._heads, None]
            return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask).flatten(1)

        return attend

    def _attend_source(self, cache: Tensor, mask: Tensor | None, end: int) -> Attend:
        """Attention to the prompt: one sequence's positions to one prompt, or each sequence's one to its own."""

        def attend(number: int, heads: Tensor) -> Tensor:
            keys, values = cache[number, :, :, :end].chunk(2, 1)
            if len(keys) == len(heads):
                queries = heads[:, :, None]
                return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask).flatten(1)
            queries = heads.transpose(0, 1)[None]
            return functional.scaled_dot_product_attention(queries, keys, values)[0].transpose(0, 1).flatten(1)

        return attend


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
