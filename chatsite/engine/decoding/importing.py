"""transformers without what we never use of torch.

Importing a model of transformers brings torch's compiler, a computer algebra system and distributed tensors, which take
as long as all the rest of a start. Nothing here is compiled or distributed: they come when somebody really asks for
them, and then whole.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
MASKS = "torch._dynamo._trace_wrapped_higher_order_op"


def import_transformers() -> None:
    """Import what all models of transformers need, as light as it goes. Where the compiler is there, it is too late."""
    if COMPILER in sys.modules:
        return
    import torch
    from transformers import utils
    from transformers.utils import import_utils

    sys.modules[COMPILER], sys.modules[MASKS] = _Compiler(COMPILER), _Masks(MASKS)
    # Builds of torch without distributed computing exist (on macOS), and transformers asks for it.
    name, never = "is_torch_distributed_available", lambda: False
    unmarked = _replaced(torch.compiler, "disable", _as_it_is)
    with _replaced(utils, name, never), _replaced(import_utils, name, never), unmarked:
        importlib.import_module("transformers.modeling_utils")


def _as_it_is(function: Any = None, *how: object, **options: object) -> Any:
    """A decorator that tells the compiler something, where there is none."""
    return function if function is not None else lambda inner: inner


class _Compiler(ModuleType):
    """Stands in for torch's compiler: takes its marks for what they are, and gives way to it for anything else."""

    assume_constant_result = allow_in_graph = disable = staticmethod(_as_it_is)
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(COMPILER), name)


class _Masks(ModuleType):
    """Stands in for the part of the compiler that transformers imports the name of."""

    @staticmethod
    def TransformGetItemToIndex() -> Any:  # noqa: N802 - torch's name.
        """One of the real ones."""
        return _real(MASKS).TransformGetItemToIndex()


def _real(name: str) -> ModuleType:
    for each in (COMPILER, MASKS):
        if isinstance(sys.modules.get(each), _Compiler | _Masks):
            del sys.modules[each]
    return importlib.import_module(name)


@contextmanager
def _replaced(holder: object, name: str, value: Callable[..., Any]) -> Iterator[None]:
    """Put something into the place of an attribute for a while, if there is one."""
    real = getattr(holder, name, None)
    if real is None:
        yield
        return
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, real)
