"""Failures of answers in the reader's words, with what the program said for those who want to know."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask_babel import gettext

from chatsite.errors import EngineDiedError, OtherError, ScriptFailedError
from chatsite.i18n import describe_error
from chatsite.models import Generation, Status

# What Python, PyTorch, C++ and the kernel say when there is no memory left.
OUT_OF_MEMORY = re.compile(
    r"out of memory|MemoryError|bad_alloc|(?:not|can't|cannot|unable to) (?:enough|allocate) mem", re.IGNORECASE
)
# Errors whose text is for programmers.
TECHNICAL_ERRORS = (OtherError, EngineDiedError, ScriptFailedError)


@dataclass(frozen=True)
class Failure:
    """Why an answer has failed: a sentence, and technical details, which may be empty."""

    sentence: str
    details: str = ""


def describe_failure(generation: Generation | None) -> Failure | None:
    """Describe why an answer failed; None if it did not."""
    if generation is None or generation.status is not Status.FAILED:
        return None
    error = generation.error
    if error is None:
        return Failure(gettext("This answer failed."))
    if not isinstance(error, TECHNICAL_ERRORS):
        return Failure(f"{gettext('This answer failed.')} {describe_error(error)}")
    details = describe_error(error)
    if OUT_OF_MEMORY.search(details):
        return Failure(gettext("The computer ran out of memory. Try a smaller model."), details)
    return Failure(gettext("The model could not finish this answer."), details)
