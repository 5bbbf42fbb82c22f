"""The generic way: transformers' own modules, many sequences at once, for every model without a lean step.

The modules take from outside what ties the rows of a call together elsewhere: positions are given for each row, the
mask says what each one sees, and the cache is ours and writes each new key at its sequence's own position. So rows
join and leave at any step, and the beams of a row stand side by side as if they were positions of a prompt that do not
see each other.

T5 has no positions but a bias by distance (Raffel et al., 2020), which its module computes for one distance of all
rows. It is computed here instead and added to the mask. BlenderBot 90M counts its positions from the length of the
cache; that length is told for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.cache_utils import Cache

from chatsite.engine import reasons
from chatsite.engine.decoding.cells import CellLayer, Cells, Distances
from chatsite.engine.decoding.packing import step_threads
from chatsite.engine.decoding.places import Part, Places
from chatsite.engine.decoding.slots import Slots
from chatsite.engine.decoding.stepping import Row, embed_ids
from chatsite.engine.decoding.swapping import Gear, swap
from chatsite.errors import ModelUnavailableError

LIMIT = 16
BREADTH = 64
# Kinds of rotary positions that change with the longest sequence of a call.
MOVING = {"dynamic", "longrope"}


class Generic:
    """Runs many sequences through any model of the catalogue; with `eight_bits`, its steps are in integers.

    `context` is how many positions it has.
    """

    def __init__(self, model: Any, context: int, eight_bits: bool = False) -> None:
        config = model.config
        if getattr(config, "use_bidirectional_attention", False):
            raise ModelUnavailableError(reason=reasons.LOOKS_AHEAD)
        self._gear = swap(model) if eight_bits else Gear()
        self._model = model
        self._context = context
        self._encodes = bool(config.is_encoder_decoder)
        self._start: int = config.decoder_start_token_id if self._encodes else 0
        self._like: Tensor = model.get_input_embeddings().weight
        self._distances = Distances(model.get_decoder()) if config.model_type == "t5" else None
        self._window = getattr(config, "sliding_window", None)
        self._kinds = set(getattr(config, "layer_types", None) or ())
        self.limit = 1 if _moves(config) else LIMIT
        self.breadth = BREADTH
        sizes = self._measure()
        self._slots = Slots(*sizes)
        self._places = Places(lambda: [Slots(*sizes) for _ in range(2 if self._encodes else 1)], self._like)

    @torch.inference_mode()
    def _measure(self) -> tuple[int, int, int, Tensor]:
        """How many layers there are, how many heads their keys have, and how wide these are."""
        cache = DynamicCache()
        if self._encodes:
            self._read_source([self._start], cache)
        else:
            self._model(self._ids([[0]]), past_key_values=cache, use_cache=True)
        try:
            layers, _, _, heads, _, width = _filled(cache).shape
        except RuntimeError as error:
            raise ModelUnavailableError(reason=reasons.UNEVEN_KEYS) from error
        return layers, heads, width, self._like

    @property
    def rows(self) -> list[Row]:
        """The running rows, by their places."""
        return self._places.rows

    def open(self, prompt: Sequence[int], prefix: Sequence[int], new: int, beams: int = 1) -> Row:
        """An encoder's positions are its own; otherwise prompt and answer share the context."""
        unread = [*prompt, *([self._start] if self._encodes else []), *prefix]
        own = unread[len(prompt) :] if self._encodes else unread
        room = self._context - (len(prefix) if self._encodes else len(own))
        return Row(prompt, unread, room, len(own) + beams * max(0, min(new, room)), beams)

    def bytes(self, row: Row) -> int:
        """Keys and values of every position it may reach, and of the prompt that an encoder reads."""
        return self._slots.bytes(row.most) + (self._slots.bytes(len(row.prompt)) if self._encodes else 0)

    @torch.inference_mode()
    def read(self, row: Row, most: int) -> Tensor | None:
        """Read a piece of the prompt, or of the answer's beginning; an encoder reads the prompt at once."""
        if not row.caches:
            prompt = list(row.prompt) if self._encodes else []
            row.unread = row.unread[len(prompt) :]
            own = self._slots.space(1, len(row.unread))
            row.caches = (own, self._read_source(prompt, DynamicCache())) if prompt else (own,)
            if prompt:
                return None
        # What was written is read as it was written, by the step's numbers, so that the answer goes on unchanged.
        prompted = 0 if self._encodes else max(0, len(row.prompt) - row.read)
        most = min(most, prompted) if prompted else most
        piece, row.unread = row.unread[:most], row.unread[most:]
        end = row.read + len(piece)
        reads = torch.arange(row.read, end, device=self._like.device)
        holds = torch.arange(end, device=self._like.device).expand(1, len(piece), end)
        cells = Cells(row.caches[0], reads[None], holds, torch.zeros_like(reads)[:, None], reads[:, None])
        with self._gear.reading(floats=bool(prompted)):
            logits = self._through([piece], cells, row.caches[-1], [len(row.prompt)], 1)
        row.read = end
        return None if row.unread else logits[0, -1].float()

    def _read_source(self, prompt: Sequence[int], own: DynamicCache) -> Tensor:
        """Keys and values of a prompt for all layers of the decoder (`[layers, 2, 1, heads, positions, width]`)."""
        source = DynamicCache()
        encoded = self._model.get_encoder()(self._ids([prompt]))[0]
        self._model(
            encoder_outputs=(encoded,),
            decoder_input_ids=self._ids([[self._start]]),
            past_key_values=EncoderDecoderCache(own, source),
            use_cache=True,
        )
        return _filled(source)

    def _ids(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Token ids, or positions, as a tensor where the model is (`[rows, queries]`)."""
        return torch.tensor([list(each) for each in ids], device=self._like.device)

    def join(self, row: Row) -> None:
        """Move what was read to a place of its own."""
        source = [len(row.prompt)] if self._encodes else []
        self._places.add(row, [row.read, *source], [row.most, *source])

    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> Tensor:
        """One token of each beam of the rows."""
        with step_threads(sum(row.beams for row in rows)):
            logits = [self._step(part) for part in self._places.parts(rows)]
        return torch.cat(logits).float()

    def _step(self, part: Part) -> Tensor:
        """One token of rows of equally many beams (`[sequences, vocabulary]`)."""
        rows, slots = part.rows, part.rank.slots
        reads = self._ids([[row.read] * row.beams for row in rows])
        holds = torch.from_numpy(part.rank.holds(rows, part.end)).to(self._like.device)
        cells = Cells(slots[0].cache[:, :, part.places], reads, holds, part.numbers, part.positions)
        lengths = [len(row.prompt) for row in rows]
        source = slots[-1].cache[:, :, part.places]
        return self._through([row.tokens for row in rows], cells, source, lengths, 0).flatten(0, 1)

    def _through(
        self, ids: Sequence[Sequence[int]], cells: Cells, source: Tensor, lengths: Sequence[int], keep: int
    ) -> Tensor:
        """All layers: ids (`[rows, queries]`) to logits (`[rows, queries, vocabulary]`, the last `keep` if not 0).

        `source` holds what a decoder sees of the prompts, which have the `lengths`.
        """
        tokens = self._ids(ids)
        own = Cache(layers=[CellLayer(keys, values, cells) for keys, values in cells.cache])
        masks = self._masks(cells)
        if self._encodes:
            return self._beside(self._seen(source, lengths), tokens, own, masks)
        output = self._model(
            tokens,
            position_ids=cells.reads,
            attention_mask=masks,
            past_key_values=own,
            use_cache=True,
            logits_to_keep=keep,
        )
        return output.logits  # type: ignore[no-any-return]

    def _seen(self, source: Tensor, lengths: Sequence[int]) -> tuple[Cache, Tensor]:
        """What a decoder sees of prompts, and what is added to its scores (`[rows, 1, 1, positions]`)."""
        longest = max(lengths)
        cache = Cache(layers=[CellLayer(keys[:, :, :longest], values[:, :, :longest]) for keys, values in source])
        beyond = torch.arange(longest, device=source.device) >= embed_ids(list(lengths), source)[:, None]
        return cache, self._mask(beyond[:, None, None])

    def _beside(self, seen: tuple[Cache, Tensor], tokens: Tensor, own: Cache, masks: Any) -> Tensor:
        """All layers of a decoder beside an encoder."""
        source, mask = seen
        # The keys are there already; this only says that there is an encoder, and for how many rows.
        states = self._like.new_zeros(()).expand(len(tokens), mask.shape[-1], self._like.shape[1])
        output = self._model(
            encoder_outputs=(states,),
            attention_mask=mask.expand(-1, 1, tokens.shape[1], -1),
            decoder_input_ids=tokens,
            decoder_attention_mask=masks,
            past_key_values=EncoderDecoderCache(own, source),
            use_cache=True,
        )
        return output.logits  # type: ignore[no-any-return]

    def _masks(self, cells: Cells) -> Tensor | dict[str, Tensor]:
        """What is added to the scores, for each kind of layer where there are several."""
        whole = self._mask(cells.hidden())
        if self._distances:
            return whole + self._distances.of(cells)
        if "sliding_attention" not in self._kinds:
            return whole
        return {"full_attention": whole, "sliding_attention": self._mask(cells.hidden(self._window))}

    def _mask(self, hidden: Tensor) -> Tensor:
        """0 for what is seen, minus infinity for what is hidden."""
        return self._like.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))

    def advance(self, row: Row) -> None:
        """Its tokens are part of what was read."""
        self._places.advance(row)

    def reorder(self, row: Row, parents: Sequence[int]) -> None:
        """Each beam goes on from what its parent has read."""
        self._places.reorder(row, parents)

    def leave(self, row: Row) -> None:
        """Free its place; the last one moves there."""
        self._places.remove(row)


def _filled(cache: DynamicCache) -> Tensor:
    """What a cache of transformers holds (`[layers, 2, rows, heads, positions, width]`)."""
    layers: Sequence[Any] = cache.layers
    return torch.stack([torch.stack((layer.keys, layer.values)) for layer in layers])


def _moves(config: Any) -> bool:
    """Whether a model's positions depend on the longest row of a call, so that its rows must run alone."""
    ropes = getattr(config, "rope_parameters", None) or {}
    kinds = ropes.values() if all(isinstance(value, dict) for value in ropes.values()) else [ropes]
    return any(rope.get("rope_type") in MOVING for rope in kinds)
