"""Import transformers without the parts of torch that are never used here.

Importing a model of transformers brings torch's compiler, a computer algebra system and distributed tensors, which cost
1.4 seconds of processor time and 77 MB (docs/decisions/0010-models.md, `benchmarks/engine_imports.py`). Nothing here is
compiled or distributed: they are imported when something really asks for them, and then whole.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

COMPILER_MODULE = "torch._dynamo"
MASKS_MODULE = "torch._dynamo._trace_wrapped_higher_order_op"


def import_transformers() -> None:
    """Import what all models of transformers need, without torch's compiler, unless that is imported already."""
    if COMPILER_MODULE in sys.modules:
        return
    import torch
    from transformers import utils
    from transformers.utils import import_utils

    sys.modules[COMPILER_MODULE], sys.modules[MASKS_MODULE] = _CompilerStub(COMPILER_MODULE), _MasksStub(MASKS_MODULE)
    # Builds of torch without distributed computing exist (on macOS), and transformers asks for it.
    name, never = "is_torch_distributed_available", lambda: False
    unmarked = _replaced_attribute(torch.compiler, "disable", _return_unchanged)
    with _replaced_attribute(utils, name, never), _replaced_attribute(import_utils, name, never), unmarked:
        importlib.import_module("transformers.modeling_utils")


def _return_unchanged(function: Any = None, *_: object, **__: object) -> Any:
    """Stand in for a decorator that tells the compiler something: return the function as it is."""
    return function if function is not None else lambda inner: inner


class _CompilerStub(ModuleType):
    """Stands in for torch's compiler: accepts its marks, and gives way to the real one for anything else."""

    assume_constant_result = allow_in_graph = disable = staticmethod(_return_unchanged)
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_import_real(COMPILER_MODULE), name)


class _MasksStub(ModuleType):
    """Stands in for the part of the compiler whose name transformers imports."""

    @staticmethod
    def TransformGetItemToIndex() -> Any:  # noqa: N802 - torch's name.
        """Return the real thing, importing the compiler."""
        return _import_real(MASKS_MODULE).TransformGetItemToIndex()


def _import_real(name: str) -> ModuleType:
    for stub_name in (COMPILER_MODULE, MASKS_MODULE):
        if isinstance(sys.modules.get(stub_name), _CompilerStub | _MasksStub):
            del sys.modules[stub_name]
    return importlib.import_module(name)


@contextmanager
def _replaced_attribute(owner: object, name: str, value: Callable[..., Any]) -> Iterator[None]:
    """Replace an attribute of `owner` while the block runs, if it has one of that name."""
    original = getattr(owner, name, None)
    if original is None:
        yield
        return
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
