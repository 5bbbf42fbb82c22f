"""Other formats of weights become safetensors, once.

A pickle is read by a process of its own: whatever it does there dies with it, and so does the memory that it takes.

    python -m chatsite.engine.decoding.convert SNAPSHOT TARGET
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from chatsite.engine import reasons
from chatsite.engine.decoding.checkpoint import check, quiet, read_model, read_tokenizer
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

FAILED, ORPHANED = 1, 3


def convert_in_child(snapshot: Path, target: Path) -> Path:
    """Let a child process write the model in PyTorch's format in `snapshot` as safetensors to `target`.

    The child ends with this process. Raises ModelUnavailableError when it fails or is ended.
    """
    command = [sys.executable, "-m", __name__, str(snapshot), str(target)]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, stdin=pipe, stdout=nothing, stderr=pipe, text=True, env=offline) as child:  # noqa: S603
        said = child.stderr.read() if child.stderr else ""
        code = child.wait()
    if code < 0:
        reason = because(reasons.KILLED, signal=-code)
        raise ModelUnavailableError(reason=reason)
    if code:
        raise ModelUnavailableError(reason=(said.strip().splitlines() or ["it cannot be converted."])[-1])
    return target


def convert_pickle(snapshot: Path, target: Path) -> Path:
    """Write a repository in PyTorch's pickled format as safetensors of the same precision to `target`.

    transformers reads the pickle with `torch.load(weights_only=True)`, which builds tensors and nothing else.
    """
    check(snapshot, pickled=True)
    model = read_model(snapshot, dtype="auto", use_safetensors=False, weights_only=True)
    model.save_pretrained(target)
    read_tokenizer(snapshot).save_pretrained(target)
    return target


def convert_gguf(gguf: Path, target: Path) -> Path:
    """Write the model and tokenizer within a GGUF file as safetensors of 16-bit floats to `target`.

    The weights have four bits, so half precision keeps them to a relative error of 2e-4
    (docs/decisions/engine.md).
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    quiet()
    # Without this the weights stay packed where there is a kernel for them, the model cannot be saved, and
    # its configuration goes on to say that it is quantised.
    plain = GgufConfig(dequantize=True)
    where: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, dtype=torch.float16, quantization_config=plain, **where
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, **where)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


def main(arguments: list[str]) -> int:
    """Convert; of what goes wrong one line says enough."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        convert_pickle(*(Path(argument) for argument in arguments))
    except ModelUnavailableError as error:
        print(error.params["reason"], file=sys.stderr)
        return FAILED
    except Exception as error:
        line = " ".join(str(error).split())[:300]
        print(because(reasons.NOT_CONVERTED, cause=f"{type(error).__name__}: {line}"), file=sys.stderr)
        return FAILED
    return 0


def _end_with_the_parent() -> None:
    """The parent holds the other end of standard input until it ends, however it ends."""
    sys.stdin.read()
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
