"""Conversion of other formats of weights to safetensors, once.

A pickle is read by a process of its own: whatever it does there dies with it, and so does the memory that it takes.

    python -m chatsite.engine.inference.loading.convert SNAPSHOT TARGET
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from chatsite.child_process import ChildProcess, exit_with_parent, send_json
from chatsite.engine.inference.loading.checkpoint import (
    detect_family,
    read_model,
    read_tokenizer,
    silence_transformers,
)
from chatsite.errors import ModelLoadError, from_reason, load_reasons, reason_of

FAILED, ORPHANED = 1, 3


def convert_in_child(snapshot: Path, target: Path) -> Path:
    """Let a child process write the model in PyTorch's format in `snapshot` as safetensors to `target`.

    The child ends with this process. Raises ModelLoadError if it fails or is ended.
    """
    arguments = ["-m", __name__, str(snapshot), str(target)]
    child = ChildProcess(arguments, {"HF_HUB_OFFLINE": "1"}, speaks=True, quiet=True)
    errors = [from_reason(message["error"]) for message in child.messages() if "error" in message]
    exit_status = child.wait()
    if exit_status < 0:
        raise ModelLoadError(reason=load_reasons.ConversionKilledError(signal=-exit_status))
    if exit_status:
        raise ModelLoadError(reason=errors[-1] if errors else child.last_words or "it cannot be converted.")
    return target


def convert_pickle(snapshot: Path, target: Path) -> Path:
    """Write a repository in PyTorch's pickled format as safetensors of the same precision to `target`.

    transformers reads the pickle with `torch.load(weights_only=True)`, which builds tensors and nothing else.
    """
    detect_family(snapshot, allow_pickle=True)
    model = read_model(snapshot, dtype="auto", use_safetensors=False, weights_only=True)
    model.save_pretrained(target)
    read_tokenizer(snapshot).save_pretrained(target)
    return target


def convert_gguf(gguf: Path, target: Path) -> Path:
    """Write the model and tokenizer within a GGUF file as safetensors of 16-bit floats to `target`.

    The weights have four bits, so half precision keeps them to a relative error of 2e-4
    (docs/decisions/0002-engine.md).
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    silence_transformers()
    # Without this the weights stay packed where there is a kernel for them, the model cannot be saved, and
    # its configuration goes on to say that it is quantised.
    quantization_config = GgufConfig(dequantize=True)
    load_options: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, dtype=torch.float16, quantization_config=quantization_config, **load_options
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, **load_options)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


def main(arguments: list[str]) -> int:
    """Convert a snapshot, and report what goes wrong as a line of JSON; return the exit status."""
    exit_with_parent(lambda: os._exit(ORPHANED))
    try:
        convert_pickle(*(Path(argument) for argument in arguments))
    except ModelLoadError as error:
        send_json({"error": reason_of(error).to_dict()})
        return FAILED
    except Exception as error:
        line = " ".join(str(error).split())[:300]
        reason = load_reasons.ConversionError(cause=f"{type(error).__name__}: {line}")
        send_json({"error": reason.to_dict()})
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
