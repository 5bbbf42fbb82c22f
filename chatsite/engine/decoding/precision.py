"""In which numbers a model is computed, and which way through it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from chatsite.engine.decoding import blenderbot, llama, packing
from chatsite.engine.decoding.checkpoint import Checkpoint
from chatsite.engine.decoding.generic import Generic
from chatsite.engine.decoding.stepping import Stepper


@dataclass(frozen=True)
class Precision:
    """`name` is `fp32`, `bf16` or `int8`; `dtype` is what is loaded and what prompts are read in."""

    name: str
    dtype: torch.dtype
    device: str


def settle_precision(wish: str) -> Precision:
    """What a wish (`auto`, `fp32`, `bf16`, `int8`) means on this machine.

    A graphics card computes in bfloat16. A processor computes its steps in eight bits if it multiplies bytes
    exactly, else in float32; prompts are read in floats (docs/decisions/decoding.md).
    """
    if torch.cuda.is_available():
        name = "fp32" if wish == "fp32" else "bf16"
        return Precision(name, torch.float32 if name == "fp32" else torch.bfloat16, "cuda")
    name = wish
    if wish == "auto" or (wish == "int8" and not packing.has_eight_bits()):
        name = "int8" if packing.has_eight_bits() else "fp32"
    return Precision(name, torch.bfloat16 if name == "bf16" else torch.float32, "cpu")


def open_stepper(checkpoint: Checkpoint, precision: Precision) -> tuple[Stepper, str]:
    """The lean way through a model where there is one, else the generic one, and the precision it has."""
    eight = precision.name == "int8"
    if llama.fits(checkpoint.model):
        return llama.LeanLlama(checkpoint.model, eight), precision.name
    if blenderbot.fits(checkpoint.model):
        return blenderbot.LeanBlenderbot(checkpoint.model, eight), precision.name
    return Generic(checkpoint.model, checkpoint.context, eight), precision.name
