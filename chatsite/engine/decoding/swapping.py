"""Eight bits within transformers' modules: each matrix of theirs is replaced by one that steps in integers.

Prompts of decoder-only models are read in floats, as the lean way reads them; what a decoder beside an encoder reads is
its own answer only, so that it needs no floats (docs/decisions/decoding.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from chatsite.engine.decoding.packing import halved, leave_file, packing


class Gear:
    """Whether the replaced matrices are to read a prompt, in floats, or to take a step."""

    def __init__(self) -> None:
        self.floats = False

    @contextmanager
    def reading(self, floats: bool) -> Iterator[None]:
        """Read in floats for a while, or not."""
        self.floats = floats
        try:
            yield
        finally:
            self.floats = False


class Swapped(torch.nn.Module):
    """A matrix in eight bits, and one in floats beside it if prompts are to go through it."""

    # T5 looks whether there is a tensor here, to bring what it multiplies to its precision.
    weight = None

    def __init__(self, weight: Tensor, bias: Tensor | None, gear: Gear, prompts: bool) -> None:
        super().__init__()
        self._gear = gear
        self._step = packing(True)(weight, bias)
        self._read = halved(weight, bias) if prompts else self._step

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[…, inputs]` to `[…, outputs]`."""
        matrix = self._read if self._gear.floats else self._step
        return matrix(x.flatten(0, -2)).view(*x.shape[:-1], -1)


@torch.inference_mode()
def swap(model: Any) -> Gear:
    """Replace the matrices that write an answer; gives what changes between reading and stepping."""
    gear, encodes = Gear(), model.config.is_encoder_decoder
    for module in list((model.get_decoder() if encodes else model).modules()):
        _swap_children(module, gear, not encodes)
    if encodes:
        model.lm_head = Swapped(model.lm_head.weight, model.lm_head.bias, gear, prompts=False)
    leave_file(model, matrices=True)
    return gear


def _swap_children(module: torch.nn.Module, gear: Gear, prompts: bool) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, torch.nn.Linear):
            setattr(module, name, Swapped(child.weight, child.bias, gear, prompts))
        elif isinstance(child, Conv1D):
            setattr(module, name, Swapped(child.weight.T.contiguous(), child.bias, gear, prompts))
