"""The compiled code, which setuptools builds from the C files here where there is a compiler."""

from __future__ import annotations

import ctypes
import sysconfig
from functools import cache
from pathlib import Path

LANES = 16
"""Numbers in a register; sizes that are no multiples of it are not compiled for."""


@cache
def library() -> ctypes.CDLL | None:
    """What was compiled, or None where it was not built or this processor lacks the instructions (AVX-512 VNNI)."""
    path = Path(__file__).with_name("_steps" + sysconfig.get_config_var("EXT_SUFFIX"))
    try:
        found = ctypes.CDLL(str(path))
    except OSError:
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_long
    found.chatsite_multiply.argtypes = [pointer, pointer, number, number, pointer, pointer]
    found.chatsite_multiply.restype = None
    found.chatsite_pack.argtypes = [pointer, number, number, number, pointer, pointer]
    found.chatsite_pack.restype = None
    found.chatsite_helpers.restype = None
    found.chatsite_llama_scratch.argtypes, found.chatsite_llama_scratch.restype = [pointer], number
    found.chatsite_llama_step.argtypes, found.chatsite_llama_step.restype = [pointer], None
    found.chatsite_blenderbot_scratch.argtypes, found.chatsite_blenderbot_scratch.restype = [pointer], number
    found.chatsite_blenderbot_step.argtypes, found.chatsite_blenderbot_step.restype = [pointer], None
    return found if found.chatsite_supported() else None


def use_threads(count: int) -> None:
    """Let up to `count` threads share a product; those beside the caller's help only if they find a processor free."""
    compiled = library()
    if compiled:
        compiled.chatsite_helpers(max(0, count - 1))
