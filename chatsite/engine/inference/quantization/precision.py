"""Which number format a model is computed in, and by which executor."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from chatsite.engine.inference.executor import ModelExecutor
from chatsite.engine.inference.executors import blenderbot, llama
from chatsite.engine.inference.executors.transformers_ import TransformersExecutor
from chatsite.engine.inference.loading.checkpoint import Checkpoint
from chatsite.engine.inference.quantization import linear


@dataclass(frozen=True)
class Precision:
    """A number format: `name` is `fp32`, `bf16` or `int8`; `dtype` is what is loaded and what prompts are read in."""

    name: str
    dtype: torch.dtype
    device: str


def resolve_precision(requested: str) -> Precision:
    """Return what a requested precision (`auto`, `fp32`, `bf16`, `int8`) means on this machine.

    A graphics card computes in bfloat16. A processor computes its steps in eight bits if it multiplies bytes exactly,
    else in float32; prompts are read in floats (docs/decisions/0008-decoding.md).
    """
    if torch.cuda.is_available():
        name = "fp32" if requested == "fp32" else "bf16"
        return Precision(name, torch.float32 if name == "fp32" else torch.bfloat16, "cuda")
    name = requested
    if requested == "auto" or (requested == "int8" and not linear.cpu_has_exact_int8()):
        name = "int8" if linear.cpu_has_exact_int8() else "fp32"
    return Precision(name, torch.bfloat16 if name == "bf16" else torch.float32, "cpu")


def create_executor(checkpoint: Checkpoint, precision: Precision) -> tuple[ModelExecutor, str]:
    """Create the executor of a model's architecture, or the one for all others; return its precision too."""
    use_int8 = precision.name == "int8"
    if llama.supports(checkpoint.model):
        return llama.LlamaExecutor(checkpoint.model, use_int8), precision.name
    if blenderbot.supports(checkpoint.model):
        return blenderbot.BlenderbotExecutor(checkpoint.model, use_int8), precision.name
    return TransformersExecutor(checkpoint.model, checkpoint.context_tokens, use_int8), precision.name
