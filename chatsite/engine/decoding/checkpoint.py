"""A model's folder: what is refused in it, how it is loaded, and how other formats become safetensors.

`trust_remote_code=False` alone has let a configuration run code (CVE-2026-4372, CVE-2026-5241), so no
configuration reaches transformers as it is: dangerous keys are refused, unknown ones left out, and the
classes are chosen here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# The model types that are read, and how each is spoken to.
FAMILIES = {"llama": "chat", "qwen2": "chat", "qwen3": "chat", "blenderbot": "blenderbot"}
HARMLESS_SUFFIXES = {".safetensors", ".json", ".txt", ".jinja", ".md"}
HARMLESS_NAMES = {"LICENSE", "LICENCE", "NOTICE", ".gitattributes"}
HARMLESS_PRIVATE_KEYS = {"_name_or_path", "_model_name_or_path", "_from_model_config", "_commit_hash", "__type"}
FORBIDDEN_KEYS = {"auto_map", "custom_pipelines", "custom_generate", "trust_remote_code", "quantization_config"}
# An adapter's configuration names another repository to load.
FORBIDDEN_FILES = {"adapter_config.json"}
# What is said of the precision need not be true of the tensors, and they decide when a pickle is converted.
UNUSED_KEYS = {"architectures", "transformers_version", "dtype"}
# Keys of older configurations which transformers turns into `rope_parameters`.
OLD_KEYS = {"rope_theta", "rope_scaling"}
# Vocabularies and shard lists are plain data, whose keys are tokens and tensors.
SHARDS = "model.safetensors.index.json"
DATA_FILES = {"tokenizer.json", "vocab.json", "added_tokens.json", SHARDS}
PICKLE = "pytorch_model.bin"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with its tokenizer.

    `published` holds the decoding settings that came with the weights.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: str
    published: dict[str, Any]


def check_files(folder: Path) -> None:
    """Refuse a folder that holds any file that is not plain data (a pickle, a program).

    Raises ModelUnavailableError.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder))]
    for path in files:
        if path.suffix not in HARMLESS_SUFFIXES and path.name not in HARMLESS_NAMES:
            _refuse(f"{path.name} in {folder.name} is not safetensors, JSON or text; only these are read.")


def _hidden(path: Path) -> bool:
    """Whether a path lies in a folder such as .git, which no loader looks into."""
    return any(part.startswith(".") for part in path.parts[:-1])


def check(folder: Path, pickled: bool = False) -> str:
    """The family of the model in `folder`, after refusing what could run code or is not supported.

    `pickled` admits PyTorch's format. Raises ModelUnavailableError.
    """
    for path in sorted(folder.glob("*.json")):
        if path.name in FORBIDDEN_FILES:
            _refuse(f"{folder.name} has a file {path.name}, which is not read here.")
        if path.name not in DATA_FILES:
            _check_keys(_read(path), path.name)
    if not is_complete(folder, pickled):
        _refuse(f"{folder.name} lacks its configuration, its tokenizer or its weights.")
    model_type = _read(folder / "config.json").get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        _refuse(f"models of the type {model_type!r} are not supported.")
    return FAMILIES[model_type]


def is_complete(folder: Path, pickled: bool = False) -> bool:
    """Whether configuration, tokenizer and weights are there; `pickled` weights count only if admitted."""
    names = {path.name for path in folder.iterdir()}
    shards = _read(folder / SHARDS).get("weight_map") if SHARDS in names else {}
    listed = shards.values() if isinstance(shards, dict) else ["?"]
    tensors = all(name in names for name in listed) and any(name.endswith(".safetensors") for name in names)
    tokenizer = "tokenizer.json" in names or {"vocab.json", "merges.txt"} <= names
    return "config.json" in names and tokenizer and (tensors or (pickled and PICKLE in names))


def _check_keys(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            private = key.startswith("_") and key not in HARMLESS_PRIVATE_KEYS
            if private or key in FORBIDDEN_KEYS or "attn_implementation" in key:
                _refuse(f"{where} has the key {key!r}, which may run code or change how the model is loaded.")
            _check_keys(inner, where)
    elif isinstance(value, list):
        for inner in value:
            _check_keys(inner, where)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        _refuse(f"{path.name} cannot be read ({error}).")
    return value if isinstance(value, dict) else {"values": value}


def load(folder: Path, dtype: torch.dtype) -> Checkpoint:
    """Load model and tokenizer, for computing in `dtype`, from a folder that `check` accepts.

    Raises ModelUnavailableError.
    """
    family = check(folder)
    try:
        model = _model(folder, family, dtype=dtype, use_safetensors=True)
        tokenizer = _tokenizer(folder, family)
    except Exception as error:
        # Damaged files surface as errors of half a dozen libraries; for the reader they are one thing.
        _refuse(f"{folder.name} cannot be loaded ({type(error).__name__}: {error})")
    model.train(False)
    return Checkpoint(model, tokenizer, family, _published(folder))


def _model(folder: Path, family: str, **options: Any) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM, BlenderbotForConditionalGeneration

    quiet()
    loader: Any = BlenderbotForConditionalGeneration if family == "blenderbot" else AutoModelForCausalLM
    model: PreTrainedModel = loader.from_pretrained(
        folder, config=_config(folder), local_files_only=True, trust_remote_code=False, **options
    )
    return model


def _config(folder: Path) -> PreTrainedConfig:
    """The configuration, made of the keys that its class knows."""
    from transformers import CONFIG_MAPPING

    raw = _read(folder / "config.json")
    kind = CONFIG_MAPPING[raw["model_type"]]
    known = (set(kind().to_dict()) | OLD_KEYS) - UNUSED_KEYS
    return kind.from_dict({key: raw[key] for key in raw if key in known and not key.startswith("_")})


def _tokenizer(folder: Path, family: str) -> PreTrainedTokenizerBase:
    from transformers import BlenderbotTokenizer, PreTrainedTokenizerFast

    kind: Any = BlenderbotTokenizer if family == "blenderbot" else PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return tokenizer


def _published(folder: Path) -> dict[str, Any]:
    path = folder / "generation_config.json"
    return _read(path) if path.exists() else {}


def quiet() -> None:
    """Keep transformers from drawing bars into the runner's log and from asking the Hub to convert files."""
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    from transformers.utils import logging

    disable: Callable[[], None] = logging.disable_progress_bar
    disable()


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


def convert_pickle(snapshot: Path, target: Path) -> Path:
    """Write a repository in PyTorch's pickled format as safetensors of the same precision to `target`.

    transformers reads the pickle with `torch.load(weights_only=True)`, which builds tensors and nothing else.
    """
    family = check(snapshot, pickled=True)
    model = _model(snapshot, family, dtype="auto", use_safetensors=False, weights_only=True)
    model.save_pretrained(target)
    _tokenizer(snapshot, family).save_pretrained(target)
    return target


def _refuse(reason: str) -> NoReturn:
    raise ModelUnavailableError(reason=reason)
