"""Run the tests of the compiled kernels with the address and undefined-behavior sanitizers of GCC.

    python -m scripts.sanitize [options of pytest]

The kernels get addresses of tensors from Python, so a size that is passed on wrongly writes into memory that belongs
to somebody else, and may go unnoticed for long. With the sanitizers every such access ends the run with a report.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from chatsite.engine.inference import native

BUILD_FOLDER = Path("build/sanitize")
SOURCES = Path(native.__file__).parent
TESTS = ("tests/engine/inference/test_native_kernels.py", "tests/engine/inference/test_native_shapes.py")
COMPILER_OPTIONS = ("-std=gnu11", "-O1", "-g", "-fno-omit-frame-pointer", "-fPIC", "-shared", "-Wall", "-Wextra")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# Python and torch never free what lives as long as the process, which is no leak of the kernels.
RUN_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def main(arguments: list[str]) -> int:
    """Build the kernels and run their tests; return the exit status, which is not 0 if anything was found."""
    library = BUILD_FOLDER / "_steps.so"
    if "LD_PRELOAD" in os.environ:
        return _run_tests(library, arguments)
    _build_library(library)
    # The address sanitizer must be loaded before anything else allocates; so this is started once more, behind it.
    environment = {**os.environ, **RUN_OPTIONS, "LD_PRELOAD": " ".join(map(_find_library, ("asan", "stdc++")))}
    command = [sys.executable, "-m", "scripts.sanitize", *arguments]
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


def _build_library(library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
    command = ["gcc", *COMPILER_OPTIONS, *SANITIZERS, *sources, "-o", str(library), "-pthread", "-lmvec", "-lm"]
    subprocess.run(command, check=True)  # noqa: S603


def _find_library(name: str) -> str:
    """Return the path of a library of the compiler's. Raises CalledProcessError if there is no compiler."""
    command = ["gcc", f"-print-file-name=lib{name}.so"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


def _run_tests(library: Path, arguments: list[str]) -> int:
    """Run the tests in this process with `library` in the place of the installed one; return their exit status.

    Raises OSError if the library cannot be loaded.
    """
    # Processes that tests start would be slowed down for nothing.
    del os.environ["LD_PRELOAD"]
    import pytest

    native.LIBRARY_FILE = library.resolve()
    if not ctypes.CDLL(str(native.LIBRARY_FILE)).chatsite_is_supported():
        # Machines of continuous integration are of several kinds, and this is no fault of the kernels.
        print("Skipped: this processor lacks AVX-512 VNNI, which the kernels need.", file=sys.stderr)
        return 0
    # Nothing is captured, or the report of a sanitizer, which ends the process, would be lost.
    return int(pytest.main(["-q", "--capture=no", "-p", "no:cacheprovider", *TESTS, *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
