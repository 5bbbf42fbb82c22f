"""The compiled kernels, which setuptools builds from the C files here if there is a compiler."""

from __future__ import annotations

import ctypes
import sysconfig
from functools import cache
from pathlib import Path

LANES = 16
"""Numbers in a register; sizes that are no multiples of it are not compiled for."""

LIBRARY_FILE = Path(__file__).with_name("_steps" + sysconfig.get_config_var("EXT_SUFFIX"))
"""Where setuptools puts the library."""


@cache
def load_library() -> ctypes.CDLL | None:
    """Load the kernels; return None if they were not built or this processor lacks AVX-512 VNNI."""
    try:
        native = ctypes.CDLL(str(LIBRARY_FILE))
    except OSError:
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_long
    native.chatsite_matmul.argtypes = [pointer, pointer, number, number, pointer, pointer]
    native.chatsite_matmul.restype = None
    native.chatsite_pack.argtypes = [pointer, number, number, number, pointer, pointer]
    native.chatsite_pack.restype = None
    native.chatsite_set_helpers.restype = None
    native.chatsite_llama_scratch.argtypes, native.chatsite_llama_scratch.restype = [pointer], number
    native.chatsite_llama_step.argtypes, native.chatsite_llama_step.restype = [pointer], None
    native.chatsite_blenderbot_scratch.argtypes, native.chatsite_blenderbot_scratch.restype = [pointer], number
    native.chatsite_blenderbot_step.argtypes, native.chatsite_blenderbot_step.restype = [pointer], None
    return native if native.chatsite_is_supported() else None


def set_num_threads(count: int) -> None:
    """Let up to `count` threads share a product; those beside the caller's help only if a processor is free."""
    native = load_library()
    if native:
        native.chatsite_set_helpers(max(0, count - 1))
