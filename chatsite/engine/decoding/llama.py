"""Llama's architecture (SmolLM2, and Qwen2 but for its biases), one token of many sequences at a time.

The same weights as in transformers' module, joined: query, key and value are one matrix, gate and up another.
A step touches each weight once for all rows. Rotary positions follow Su et al., "RoFormer" (2021), in the
half-rotated form that the checkpoints use; grouped-query attention follows Ainslie et al., "GQA" (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from chatsite.engine.decoding.compiled_llama import CompiledLlama, can_compile
from chatsite.engine.decoding.packing import Matrix, Packing, halved, leave_file, packing, step_threads
from chatsite.engine.decoding.places import Part, Places, together
from chatsite.engine.decoding.slots import Slots, attend, visible
from chatsite.engine.decoding.stepping import Row, embed_ids

TYPES = {"llama", "qwen2"}
LIMIT = 16
# Beams take prompts of thousands of tokens as one row does; what bounds them is the budget of bytes.
BREADTH = 64

Attend = Callable[[int, Tensor], Tensor]
"""Attention of one layer: its number and rotated `[rows, heads, width]` to `[rows, query heads * width]`."""
Turns = tuple[Tensor, Tensor]
"""Cosines and signed sines, `[rows, 1, width]` each."""


@dataclass(frozen=True)
class Layer:
    """One layer's weights; norms are `[hidden]`."""

    before: Tensor
    qkv: Matrix
    out: Matrix
    between: Tensor
    gate_up: Matrix
    down: Matrix


def fits(model: Any) -> bool:
    """Whether a model is of this architecture, without variations that it has elsewhere."""
    config = model.config
    if config.model_type not in TYPES or config.hidden_act != "silu":
        return False
    plain_rope = model.model.rotary_emb.rope_type in {"default", "linear", "llama3"}
    return plain_rope and not getattr(config, "use_sliding_window", False)


class LeanLlama:
    """Runs many sequences through a model that `fits`; with `eight_bits`, steps are in integers.

    Compiled code takes whole steps where it can. Without it prompts are read in floats at all times: the first token of
    a chat has outliers, and all that follows looks back at it (docs/decisions/decoding.md).
    """

    limit = LIMIT
    breadth = BREADTH

    def __init__(self, model: Any, eight_bits: bool = False) -> None:
        config, body = model.config, model.model
        if eight_bits:
            # Norms and biases are kept as they are.
            leave_file(model, matrices=False)
        self._eps: float = config.rms_norm_eps
        self._context: int = config.max_position_embeddings
        self._width: int = body.layers[0].self_attn.head_dim
        self._groups: int = config.num_key_value_heads
        self._queries: int = config.num_attention_heads
        self._embedding: Tensor = body.embed_tokens.weight
        self._end: Tensor = body.norm.weight
        step = packing(eight_bits)
        joined = [(layer, *_join(layer)) for layer in body.layers]
        self._layers = [_layer(*parts, step) for parts in joined]
        self._head = step(model.lm_head.weight, None)
        self._rotary = body.rotary_emb
        fit = eight_bits and can_compile(config.hidden_size, config.intermediate_size, self._width)
        halves = eight_bits and not fit
        self._reading = [_layer(*parts, halved) for parts in joined] if halves else self._layers
        if eight_bits:
            # The floats are most of the memory, and nothing reads them any more.
            body.layers = torch.nn.ModuleList()
            leave_file(model, matrices=True)
        self.compiled = self._compile() if fit else None
        sizes = (len(self._layers), self._groups, self._width, self._embedding)
        self._slots = Slots(*sizes)
        self._places = Places(lambda: [Slots(*sizes)], self._embedding)

    def _compile(self) -> CompiledLlama:
        """The whole step as compiled code."""
        shape = self._queries, self._groups, self._width
        embedding = self._embedding.float()
        return CompiledLlama(self._layers, self._head, embedding, self._end, shape, self._eps, self._table)

    def _table(self, positions: int) -> Tensor:
        """Cosines and sines of so many positions (`[positions, 2, width]`)."""
        return torch.stack(self._rotary(self._embedding, torch.arange(positions)[None]), 2)[0].float().contiguous()

    @property
    def rows(self) -> list[Row]:
        """The running sequences, by their places."""
        return self._places.rows

    def open(self, prompt: Sequence[int], prefix: Sequence[int], new: int, beams: int = 1) -> Row:
        """Prompt and answer are one sequence of at most the context's length."""
        unread = [*prompt, *prefix]
        room = self._context - len(unread)
        return Row(prompt, unread, room, len(unread) + beams * max(0, min(new, room)), beams)

    def bytes(self, row: Row) -> int:
        """Keys and values of every position it may reach."""
        return self._slots.bytes(row.most)

    @torch.inference_mode()
    def read(self, row: Row, most: int) -> Tensor | None:
        """Read a piece of the prompt, or of the answer's beginning, before the sequence takes its place.

        What was written is read as it was written, by the step's numbers, so that the answer goes on unchanged.
        """
        if not row.caches:
            row.caches = (self._slots.space(1, len(row.unread)),)
        prompted = len(row.prompt) - row.read
        most = min(most, prompted) if prompted > 0 else most
        piece, row.unread = row.unread[:most], row.unread[most:]
        begin, row.read = row.read, row.read + len(piece)
        if self.compiled:
            logits = self.compiled.read(piece, begin, row.caches[0])
        else:
            logits = self._read_piece(piece, begin, row, self._reading if prompted > 0 else self._layers)
        return None if row.unread else logits

    def _read_piece(self, piece: Sequence[int], begin: int, row: Row, layers: list[Layer]) -> Tensor:
        """Read some ids from position `begin` on; gives the logits after them (`[vocabulary]`)."""
        attend = self._attend_piece(row.caches[0], begin, row.read)
        positions = torch.arange(begin, row.read, device=self._embedding.device)
        return self._head(self._through(layers, piece, positions, attend)[-1:])[0].float()

    def join(self, row: Row) -> None:
        """Move what was read to a place of its own."""
        self._places.add(row, [row.read], [row.most])

    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> Tensor:
        """One token of each beam of the rows."""
        if self.compiled and all(row.beams == 1 for row in rows):
            cache = self._places.parts(rows)[0].rank.slots[0].cache
            tokens = [row.tokens[0] for row in rows]
            return self.compiled.step(tokens, [row.read for row in rows], [row.place for row in rows], cache)
        parts = self._places.parts(rows)
        reads = embed_ids([row.read for row in rows for _ in row.tokens], self._embedding)
        attend = together([self._attend_step(part) for part in parts], [part.sequences for part in parts])
        tokens = [token for row in rows for token in row.tokens]
        with step_threads(len(tokens)):
            return self._head(self._through(self._layers, tokens, reads, attend)).float()

    def advance(self, row: Row) -> None:
        """Its tokens are part of what was read."""
        self._places.advance(row)

    def reorder(self, row: Row, parents: Sequence[int]) -> None:
        """Each beam goes on from what its parent has read."""
        self._places.reorder(row, parents)

    def leave(self, row: Row) -> None:
        """Free its place; the last one moves there."""
        self._places.remove(row)

    def _through(self, layers: list[Layer], ids: Sequence[int], positions: Tensor, attend: Attend) -> Tensor:
        """All layers: `ids` and their `positions` (`[rows]`) to normalised hidden states `[rows, hidden]`."""
        x = self._embedding[embed_ids(ids, self._embedding)]
        turns = self._turns(positions)
        for number, layer in enumerate(layers):
            heads = layer.qkv(self._norm(x, layer.before)).view(len(x), -1, self._width)
            _rotate(heads[:, : self._queries + self._groups], turns)
            x = x + layer.out(attend(number, heads))
            gate, up = layer.gate_up(self._norm(x, layer.between)).chunk(2, -1)
            x = x + layer.down(functional.silu(gate).mul_(up))
        return self._norm(x, self._end)

    def _turns(self, positions: Tensor) -> Turns:
        """The angles of positions (`[rows]`): cosines, and sines with the sign that `_rotate` needs."""
        cos, sin = (part.transpose(0, 1) for part in self._rotary(self._embedding, positions[None]))
        below, above = sin.chunk(2, -1)
        return cos, torch.cat([-below, above], -1)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """Root-mean-square norm (Zhang and Sennrich, 2019), in float32 as the checkpoints were trained."""
        x32 = x.float()
        rms = (x32 * x32).mean(-1, keepdim=True).add_(self._eps).rsqrt_()
        normal: Tensor = (x32 * rms).to(x.dtype) * weight
        return normal

    def _attend_piece(self, cache: Tensor, begin: int, end: int) -> Attend:
        """Attention within one sequence, whose positions `begin` to `end` are new; `cache` is its own."""
        seen = torch.arange(begin, end, device=cache.device) + 1
        mask = visible(seen, end, cache)
        mask = None if mask is None else mask.view(len(seen), end).repeat(self._queries // self._groups, 1)

        def attend(number: int, heads: Tensor) -> Tensor:
            own = cache[number, :, 0].flatten(0, 1)
            own[:, begin:end] = heads[:, self._queries :].transpose(0, 1)
            # The queries that share a key stand below one another, as if they were more positions.
            queries = heads[:, : self._queries].transpose(0, 1).reshape(self._groups, -1, self._width)
            keys, values = own[: self._groups, :end], own[self._groups :, :end]
            seen = functional.scaled_dot_product_attention(queries[None], keys[None], values[None], attn_mask=mask)
            return seen.view(self._queries, -1, self._width).transpose(0, 1).flatten(1)

        return attend

    def _attend_step(self, part: Part) -> Attend:
        """Attention of one new position of each beam of some rows."""
        cache = part.rank.slots[0].cache[:, :, part.places]
        every = torch.arange(self._groups, device=cache.device)[None]
        where = (part.numbers, every, part.positions)
        # The queries that share a key stand below one another, as if they were more beams.
        shared = self._queries // self._groups
        mask = None if part.mask is None else part.mask.repeat_interleave(shared, 2)

        def step(number: int, heads: Tensor) -> Tensor:
            keys, values = cache[number]
            queries, new_keys, new_values = heads.split_with_sizes([self._queries, self._groups, self._groups], 1)
            keys.index_put_(where, new_keys)
            values.index_put_(where, new_values)
            queries = queries.view(-1, self._groups, shared, self._width).transpose(1, 2).flatten(0, 1)
            seen = attend(queries, keys[:, :, : part.end], values[:, :, : part.end], mask)
            return seen.view(-1, shared, self._groups, self._width).transpose(1, 2).flatten(1)

        return step


def _join(layer: Any) -> tuple[Tensor, Tensor | None, Tensor]:
    """Query, key and value as one matrix, its bias, and gate and up as one.

    The module keeps working on views of the joined ones, so that nothing is stored twice.
    """
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    qkv, gate_up = _fuse(projections), _fuse([mlp.gate_proj, mlp.up_proj])
    biases = [projection.bias for projection in projections]
    return qkv, None if biases[0] is None else torch.cat(biases).detach(), gate_up


def _fuse(linears: list[Any]) -> Tensor:
    joined = torch.cat([linear.weight for linear in linears]).detach()
    for linear, part in zip(linears, torch.split(joined, [len(linear.weight) for linear in linears]), strict=True):
        linear.weight = torch.nn.Parameter(part, requires_grad=False)
    return joined


def _layer(layer: Any, qkv: Tensor, bias: Tensor | None, gate_up: Tensor, pack: Packing) -> Layer:
    out, down = layer.self_attn.o_proj, layer.mlp.down_proj
    return Layer(
        before=layer.input_layernorm.weight,
        qkv=pack(qkv, bias),
        out=pack(out.weight, out.bias),
        between=layer.post_attention_layernorm.weight,
        gate_up=pack(gate_up, None),
        down=pack(down.weight, None),
    )


def _rotate(heads: Tensor, turns: Turns) -> None:
    """Rotate heads (`[rows, heads, width]`) in place by their positions' angles."""
    cos, sin = turns
    swapped = heads.roll(heads.shape[-1] // 2, -1)
    heads.mul_(cos).addcmul_(swapped, sin)
