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

from chatsite.errors import ChatsiteError, ModelLoadError, load_reasons

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# The model types that are read, and the families that each can be spoken to as.
DECODER_FAMILIES = ("chat", "continuation", "dialogue")
FAMILIES_BY_MODEL_TYPE = {
    "llama": DECODER_FAMILIES,
    "qwen2": DECODER_FAMILIES,
    "qwen3": DECODER_FAMILIES,
    "smollm3": DECODER_FAMILIES,
    "gemma3_text": DECODER_FAMILIES,
    "gpt2": DECODER_FAMILIES,
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
EXTRA_CONFIG_KEYS = {
    "rope_theta",
    "rope_scaling",
    "rope_local_base_freq",
    "sliding_window_pattern",
    "decoder_start_token_id",
}
# Vocabularies and shard lists are plain data, whose keys are tokens and tensors.
SHARD_INDEX = "model.safetensors.index.json"
PICKLE_FILE = "pytorch_model.bin"
PICKLE_SHARD_INDEX = "pytorch_model.bin.index.json"
DATA_FILES = {"tokenizer.json", "vocab.json", "added_tokens.json", SHARD_INDEX, PICKLE_SHARD_INDEX}
# T5's positions are distances without an end; this is the length it was trained on.
T5_CONTEXT_TOKENS = 512


@dataclass(frozen=True)
class Checkpoint:
    """A model with its tokenizer, as loaded from weights.

    `published_settings` holds the decoding settings that came with the weights (generation_config.json).
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: str
    published_settings: dict[str, Any]

    @property
    def context_tokens(self) -> int:
        """The ids that it reads: prompt and answer together, or each by itself if there is an encoder."""
        return int(getattr(self.model.config, "max_position_embeddings", T5_CONTEXT_TOKENS))


def require_safe_files(folder: Path) -> None:
    """Raise ModelLoadError if a folder holds any file that is not plain data (a pickle, a program)."""
    files = [
        path for path in folder.rglob("*") if path.is_file() and not _is_in_hidden_folder(path.relative_to(folder))
    ]
    for path in files:
        if path.suffix not in HARMLESS_SUFFIXES and path.name not in HARMLESS_NAMES:
            _raise_unavailable(load_reasons.UnsafeFileError(file=path.name, folder=folder.name))


def _is_in_hidden_folder(path: Path) -> bool:
    """Say whether a path lies in a folder such as .git, which no loader looks into."""
    return any(part.startswith(".") for part in path.parts[:-1])


def detect_family(folder: Path, allow_pickle: bool = False, family: str = "") -> str:
    """Return the family of the model in `folder`, after refusing what could run code or is not supported.

    `allow_pickle` admits PyTorch's format; a `family` that is given takes precedence over what the files tell. Raises
    ModelLoadError.
    """
    for path in sorted(folder.glob("*.json")):
        if path.name in FORBIDDEN_FILES:
            _raise_unavailable(load_reasons.UnsupportedFileError(folder=folder.name, file=path.name))
        if path.name not in DATA_FILES:
            _require_safe_keys(_read_json(path), path.name)
    if not is_complete(folder, allow_pickle):
        _raise_unavailable(load_reasons.IncompleteModelError(folder=folder.name))
    config = _read_json(folder / "config.json")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES_BY_MODEL_TYPE:
        _raise_unavailable(load_reasons.UnsupportedModelTypeError(type=repr(model_type)))
    detected = family or _family_of_files(folder, config, FAMILIES_BY_MODEL_TYPE[model_type])
    if detected not in FAMILIES_BY_MODEL_TYPE[model_type]:
        _raise_unavailable(
            load_reasons.WrongFamilyError(folder=folder.name, type=repr(model_type), family=repr(detected))
        )
    return detected


def _family_of_files(folder: Path, config: dict[str, Any], families: tuple[str, ...]) -> str:
    """Return the format of a model's conversations by its files; DialoGPT tells it in a setting of old pipelines."""
    tokenizer_config = folder / "tokenizer_config.json"
    template = (folder / "chat_template.jinja").exists() or (
        tokenizer_config.exists() and _read_json(tokenizer_config).get("chat_template")
    )
    if families is not DECODER_FAMILIES or template:
        return families[0]
    tasks = config.get("task_specific_params")
    return "dialogue" if isinstance(tasks, dict) and "conversational" in tasks else "continuation"


def is_complete(folder: Path, allow_pickle: bool = False) -> bool:
    """Say whether configuration, tokenizer and weights are there; pickles count only with `allow_pickle`."""
    names = {path.name for path in folder.iterdir()}
    tokenizer = "tokenizer.json" in names or {"vocab.json", "merges.txt"} <= names
    weights = _files_of_index(folder, SHARD_INDEX, "*.safetensors") or (allow_pickle and find_pickles(folder))
    return "config.json" in names and tokenizer and bool(weights)


def find_pickles(folder: Path) -> list[Path]:
    """Return the files of a model in PyTorch's format; none if one of them is missing."""
    return _files_of_index(folder, PICKLE_SHARD_INDEX, PICKLE_FILE)


def _files_of_index(folder: Path, index: str, pattern: str) -> list[Path]:
    """Return the files that an index names if there is one, else those of a pattern; none if one is missing."""
    if not (folder / index).exists():
        return sorted(folder.glob(pattern))
    shards = _read_json(folder / index).get("weight_map")
    names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
    # A name that leads out of the folder is none of its files.
    existing_names = {path.name for path in folder.iterdir()}
    return sorted(folder / name for name in names) if names and names <= existing_names else []


def _require_safe_keys(value: Any, filename: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            private = key.startswith("_") and key not in HARMLESS_PRIVATE_KEYS
            if private or key in FORBIDDEN_KEYS or "attn_implementation" in key:
                _raise_unavailable(load_reasons.DangerousKeyError(file=filename, key=repr(key)))
            _require_safe_keys(inner, filename)
    elif isinstance(value, list):
        for inner in value:
            _require_safe_keys(inner, filename)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        _raise_unavailable(load_reasons.FileUnreadableError(file=path.name, cause=error))
    return value if isinstance(value, dict) else {"values": value}


def load_checkpoint(folder: Path, dtype: torch.dtype, family: str = "") -> Checkpoint:
    """Load model and tokenizer, for computing in `dtype`, from a folder that `detect_family` accepts.

    Raises ModelLoadError if a file is refused, damaged or missing.
    """
    detected_family = detect_family(folder, family=family)
    try:
        model = read_model(folder, dtype=dtype, use_safetensors=True)
        tokenizer = read_tokenizer(folder)
    except ModelLoadError:
        raise
    except Exception as error:
        # Damaged files surface as errors of half a dozen libraries; for the reader they are one thing.
        _raise_unavailable(
            load_reasons.WeightsUnreadableError(folder=folder.name, cause=f"{type(error).__name__}: {error}")
        )
    model.train(False)
    return Checkpoint(model, tokenizer, detected_family, _read_generation_config(folder))


def read_model(folder: Path, **options: Any) -> PreTrainedModel:
    """Load the model in a folder that `detect_family` accepts, by the class of its configuration.

    Raises ModelLoadError if a weight is missing, which transformers would fill with random numbers.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    silence_transformers()
    config = _read_config(folder)
    loader: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "output_loading_info": True}
    model, info = loader.from_pretrained(folder, config=config, **safe, **options)
    missing = set(info["missing_keys"]) & {name for name, _ in model.named_parameters()}
    if missing:
        _raise_unavailable(load_reasons.MissingWeightsError(folder=folder.name, key=min(missing)))
    loaded: PreTrainedModel = model
    return loaded


def _read_config(folder: Path) -> PreTrainedConfig:
    """Build the configuration of the keys that its class knows, so that no other key reaches transformers."""
    from transformers import CONFIG_MAPPING

    raw = _read_json(folder / "config.json")
    config_class = CONFIG_MAPPING[raw["model_type"]]
    allowed_keys = (set(config_class().to_dict()) | EXTRA_CONFIG_KEYS) - UNUSED_KEYS
    return config_class.from_dict({key: raw[key] for key in raw if key in allowed_keys and not key.startswith("_")})


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer in a folder that `detect_family` accepts, by the class that reads its files."""
    from transformers import BlenderbotSmallTokenizer, BlenderbotTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast

    tokenizer_classes = {
        "blenderbot": BlenderbotTokenizer,
        "blenderbot-small": BlenderbotSmallTokenizer,
        "gpt2": GPT2Tokenizer,
    }
    tokenizer_class: Any = tokenizer_classes.get(
        _read_json(folder / "config.json")["model_type"], PreTrainedTokenizerFast
    )
    tokenizer: PreTrainedTokenizerBase = tokenizer_class.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return tokenizer


def _read_generation_config(folder: Path) -> dict[str, Any]:
    path = folder / "generation_config.json"
    return _read_json(path) if path.exists() else {}


def silence_transformers() -> None:
    """Keep transformers from drawing bars into the runner's log and from asking the Hub to convert files."""
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    from transformers.utils import logging

    disable: Callable[[], None] = logging.disable_progress_bar
    disable()


def _raise_unavailable(reason: ChatsiteError) -> NoReturn:
    raise ModelLoadError(reason=reason)
