"""A model's folder: what is refused in it, and how it is loaded.

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

from chatsite.engine import reasons
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# The model types that are read, and the families that each can be spoken to as.
WRITERS = ("chat", "continuation", "dialogue")
FAMILIES = {
    "llama": WRITERS,
    "qwen2": WRITERS,
    "qwen3": WRITERS,
    "smollm3": WRITERS,
    "gemma3_text": WRITERS,
    "gpt2": WRITERS,
    "t5": ("text-to-text",),
    "blenderbot": ("blenderbot",),
    "blenderbot-small": ("blenderbot-small",),
}
HARMLESS_SUFFIXES = {".safetensors", ".json", ".txt", ".jinja", ".md"}
# Vocabularies that other programs read; here tokenizer.json says the same.
HARMLESS_NAMES = {"LICENSE", "LICENCE", "NOTICE", ".gitattributes", "spiece.model", "tokenizer.model"}
HARMLESS_PRIVATE_KEYS = {"_name_or_path", "_model_name_or_path", "_from_model_config", "_commit_hash", "__type"}
HARMLESS_PRIVATE_KEYS |= {"_sliding_window_pattern"}
FORBIDDEN_KEYS = {"auto_map", "custom_pipelines", "custom_generate", "trust_remote_code", "quantization_config"}
# An adapter's configuration names another repository to load.
FORBIDDEN_FILES = {"adapter_config.json"}
# What is said of the precision need not be true of the tensors, and they decide when a pickle is converted.
UNUSED_KEYS = {"architectures", "transformers_version", "dtype"}
# Keys that classes read without naming them; all but the last are of older configurations.
OTHER_KEYS = {"rope_theta", "rope_scaling", "rope_local_base_freq", "sliding_window_pattern", "decoder_start_token_id"}
# Vocabularies and shard lists are plain data, whose keys are tokens and tensors.
SHARDS = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
PICKLE_SHARDS = "pytorch_model.bin.index.json"
DATA_FILES = {"tokenizer.json", "vocab.json", "added_tokens.json", SHARDS, PICKLE_SHARDS}
# T5's positions are distances without an end; this is the length it was trained on.
T5_CONTEXT = 512


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with its tokenizer.

    `published` holds the decoding settings that came with the weights.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: str
    published: dict[str, Any]

    @property
    def context(self) -> int:
        """How many token ids it reads: prompt and answer together, or each by itself where there is an encoder."""
        return int(getattr(self.model.config, "max_position_embeddings", T5_CONTEXT))


def check_files(folder: Path) -> None:
    """Refuse a folder that holds any file that is not plain data (a pickle, a program).

    Raises ModelUnavailableError.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder))]
    for path in files:
        if path.suffix not in HARMLESS_SUFFIXES and path.name not in HARMLESS_NAMES:
            _refuse(because(reasons.OTHER_FILE, file=path.name, folder=folder.name))


def _hidden(path: Path) -> bool:
    """Whether a path lies in a folder such as .git, which no loader looks into."""
    return any(part.startswith(".") for part in path.parts[:-1])


def check(folder: Path, pickled: bool = False, family: str = "") -> str:
    """The family of the model in `folder`, after refusing what could run code or is not supported.

    `pickled` admits PyTorch's format; a `family` that is wished for goes before what the files tell. Raises
    ModelUnavailableError.
    """
    for path in sorted(folder.glob("*.json")):
        if path.name in FORBIDDEN_FILES:
            _refuse(because(reasons.UNREAD_FILE, folder=folder.name, file=path.name))
        if path.name not in DATA_FILES:
            _check_keys(_read(path), path.name)
    if not is_complete(folder, pickled):
        _refuse(because(reasons.INCOMPLETE, folder=folder.name))
    config = _read(folder / "config.json")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        _refuse(because(reasons.OTHER_TYPE, type=repr(model_type)))
    found = family or _family(folder, config, FAMILIES[model_type])
    if found not in FAMILIES[model_type]:
        _refuse(because(reasons.OTHER_FAMILY, folder=folder.name, type=repr(model_type), family=repr(found)))
    return found


def _family(folder: Path, config: dict[str, Any], families: tuple[str, ...]) -> str:
    """How a model is spoken to, after its files. DialoGPT says so in a setting of old pipelines."""
    settings = folder / "tokenizer_config.json"
    template = (folder / "chat_template.jinja").exists() or (settings.exists() and _read(settings).get("chat_template"))
    if families is not WRITERS or template:
        return families[0]
    tasks = config.get("task_specific_params")
    return "dialogue" if isinstance(tasks, dict) and "conversational" in tasks else "continuation"


def is_complete(folder: Path, pickled: bool = False) -> bool:
    """Whether configuration, tokenizer and weights are there; `pickled` weights count only if admitted."""
    names = {path.name for path in folder.iterdir()}
    tokenizer = "tokenizer.json" in names or {"vocab.json", "merges.txt"} <= names
    weights = _listed(folder, SHARDS, "*.safetensors") or (pickled and pickles(folder))
    return "config.json" in names and tokenizer and bool(weights)


def pickles(folder: Path) -> list[Path]:
    """The files of a model in PyTorch's format; none if one of them is missing."""
    return _listed(folder, PICKLE_SHARDS, PICKLE)


def _listed(folder: Path, index: str, pattern: str) -> list[Path]:
    """The files that an index names if there is one, else those of a pattern; none if one is missing."""
    if not (folder / index).exists():
        return sorted(folder.glob(pattern))
    shards = _read(folder / index).get("weight_map")
    names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
    # A name that leads out of the folder is none of its files.
    there = {path.name for path in folder.iterdir()}
    return sorted(folder / name for name in names) if names and names <= there else []


def _check_keys(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            private = key.startswith("_") and key not in HARMLESS_PRIVATE_KEYS
            if private or key in FORBIDDEN_KEYS or "attn_implementation" in key:
                _refuse(because(reasons.DANGEROUS_KEY, file=where, key=repr(key)))
            _check_keys(inner, where)
    elif isinstance(value, list):
        for inner in value:
            _check_keys(inner, where)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        _refuse(because(reasons.UNREADABLE, file=path.name, cause=error))
    return value if isinstance(value, dict) else {"values": value}


def load(folder: Path, dtype: torch.dtype, family: str = "") -> Checkpoint:
    """Load model and tokenizer, for computing in `dtype`, from a folder that `check` accepts.

    Raises ModelUnavailableError.
    """
    found = check(folder, family=family)
    try:
        model = read_model(folder, dtype=dtype, use_safetensors=True)
        tokenizer = read_tokenizer(folder)
    except ModelUnavailableError:
        raise
    except Exception as error:
        # Damaged files surface as errors of half a dozen libraries; for the reader they are one thing.
        _refuse(because(reasons.NOT_LOADED, folder=folder.name, cause=f"{type(error).__name__}: {error}"))
    model.train(False)
    return Checkpoint(model, tokenizer, found, _published(folder))


def read_model(folder: Path, **options: Any) -> PreTrainedModel:
    """The model in a folder that `check` accepts; weights that its files lack would be random numbers."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    quiet()
    config = _config(folder)
    loader: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "output_loading_info": True}
    model, info = loader.from_pretrained(folder, config=config, **safe, **options)
    missing = set(info["missing_keys"]) & {name for name, _ in model.named_parameters()}
    if missing:
        _refuse(because(reasons.MISSING, folder=folder.name, key=min(missing)))
    made: PreTrainedModel = model
    return made


def _config(folder: Path) -> PreTrainedConfig:
    """The configuration, made of the keys that its class knows."""
    from transformers import CONFIG_MAPPING

    raw = _read(folder / "config.json")
    kind = CONFIG_MAPPING[raw["model_type"]]
    known = (set(kind().to_dict()) | OTHER_KEYS) - UNUSED_KEYS
    return kind.from_dict({key: raw[key] for key in raw if key in known and not key.startswith("_")})


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder that `check` accepts, by the class that reads its files."""
    from transformers import BlenderbotSmallTokenizer, BlenderbotTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast

    kinds = {"blenderbot": BlenderbotTokenizer, "blenderbot-small": BlenderbotSmallTokenizer, "gpt2": GPT2Tokenizer}
    kind: Any = kinds.get(_read(folder / "config.json")["model_type"], PreTrainedTokenizerFast)
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


def _refuse(reason: str) -> NoReturn:
    raise ModelUnavailableError(reason=reason)
