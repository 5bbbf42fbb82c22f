"""Eight bits within transformers' modules: each matrix is replaced by one whose decode steps are in integers.

Prompts of decoder-only models are read in floats, as the other executors read them; what a decoder beside an encoder
reads is its own answer only, so that it needs no floats (docs/decisions/0008-decoding.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from chatsite.engine.inference.quantization.linear import bf16_linear, detach_from_mmap, linear_factory


class PrecisionSwitch:
    """Says whether the replaced matrices read a prompt, in floats, or take a decode step."""

    def __init__(self) -> None:
        self.use_floats = False

    @contextmanager
    def using_floats(self, use_floats: bool) -> Iterator[None]:
        """Read in floats, or not, while the block runs."""
        self.use_floats = use_floats
        try:
            yield
        finally:
            self.use_floats = False


class QuantizedLinear(torch.nn.Module):
    """A matrix in eight bits, and one in floats beside it if it `reads_prompts`."""

    # T5 looks whether there is a tensor here, to bring what it multiplies to its precision.
    weight = None

    def __init__(self, weight: Tensor, bias: Tensor | None, switch: PrecisionSwitch, *, reads_prompts: bool) -> None:
        super().__init__()
        self._switch = switch
        self._decode_linear = linear_factory(True)(weight, bias)
        # A prompt's outliers spoil eight bits for all that looks back at them (docs/decisions/0008-decoding.md).
        self._prefill_linear = bf16_linear(weight, bias) if reads_prompts else self._decode_linear

    def forward(self, x: Tensor) -> Tensor:
        """Multiply rows: `[…, inputs]` to `[…, outputs]`."""
        linear = self._prefill_linear if self._switch.use_floats else self._decode_linear
        return linear(x.flatten(0, -2)).view(*x.shape[:-1], -1)


@torch.inference_mode()
def quantize_model(model: Any) -> PrecisionSwitch:
    """Replace the matrices that write an answer; return the switch between prompts and decode steps."""
    switch, has_encoder = PrecisionSwitch(), model.config.is_encoder_decoder
    # An encoder reads each prompt once, so that eight bits would save little there and cost accuracy.
    for module in list((model.get_decoder() if has_encoder else model).modules()):
        _quantize_children(module, switch, not has_encoder)
    if has_encoder:
        model.lm_head = QuantizedLinear(model.lm_head.weight, model.lm_head.bias, switch, reads_prompts=False)
    detach_from_mmap(model, include_matrices=True)
    return switch


def _quantize_children(module: torch.nn.Module, switch: PrecisionSwitch, reads_prompts: bool) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, torch.nn.Linear):
            setattr(module, name, QuantizedLinear(child.weight, child.bias, switch, reads_prompts=reads_prompts))
        # GPT-2's matrices are stored the other way round.
        elif isinstance(child, Conv1D):
            setattr(
                module,
                name,
                QuantizedLinear(child.weight.T.contiguous(), child.bias, switch, reads_prompts=reads_prompts),
            )
