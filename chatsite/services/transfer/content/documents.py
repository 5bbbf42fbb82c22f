"""Documents that answers write and change beside the conversation: the canvas of ChatGPT, artifacts of Claude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatsite.services.transfer import message_ordering

# A document may be changed in many places of many messages. Each change copies it, so the copies are bounded; beyond
# them a change shows only what it put in.
MAX_COPIED_CHARS = 20_000_000
MAX_OPEN_DOCUMENTS = 50


@dataclass(frozen=True)
class DocumentEdit:
    """An edit of a document: the whole new `text`, or `replacements` of passages by others in the text so far."""

    document_id: str
    title: str | None = None
    language: str | None = None
    text: str | None = None
    replacements: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Document:
    """A document after the edits of one message. `language` is the one of its code block."""

    title: str | None
    language: str | None
    text: str


def resolve_documents(
    edits: Mapping[str, Sequence[DocumentEdit]], parents: Mapping[str, str | None]
) -> dict[str, dict[str, Document]]:
    """Return the documents that each message of `edits` leaves behind, by the key of the message and their own id.

    `parents` has the parents of all messages: an edit continues from what the branch above it has.
    """
    above = message_ordering.nearest_ancestors(parents, edits.keys())
    budget = _CopyBudget()
    open_documents: dict[str, dict[str, Document]] = {}
    resolved: dict[str, dict[str, Document]] = {}
    for key in edits:
        for each in reversed(_unresolved_path(key, above, resolved)):
            documents = dict(open_documents.get(above.get(each) or "", {}))
            resolved[each] = {}
            for edit in edits[each]:
                document = _apply(documents.pop(edit.document_id, None), edit, budget)
                documents[edit.document_id] = resolved[each][edit.document_id] = document
            open_documents[each] = dict(list(documents.items())[-MAX_OPEN_DOCUMENTS:])
    return resolved


class _CopyBudget:
    """How many characters may still be copied by replacements."""

    def __init__(self) -> None:
        self._left = MAX_COPIED_CHARS

    def take(self, chars: int) -> bool:
        """Return whether a text of `chars` characters may be copied once more."""
        self._left -= chars
        return self._left >= 0


def _unresolved_path(key: str, above: Mapping[str, str | None], resolved: Mapping[str, object]) -> list[str]:
    """Return the key and the keys above it that are not resolved, upwards, and each once in a cycle."""
    path: dict[str, None] = {}
    step: str | None = key
    while step is not None and step not in resolved and step not in path:
        path[step] = None
        step = above.get(step)
    return list(path)


def _apply(before: Document | None, edit: DocumentEdit, budget: _CopyBudget) -> Document:
    text = edit.text
    if text is None and before:
        text = _replace(before.text, edit.replacements, budget)
    if text is None:
        text = "\n\n".join(new for _, new in edit.replacements)
    return Document(
        edit.title or (before.title if before else None), edit.language or (before.language if before else None), text
    )


def _replace(text: str, replacements: Sequence[tuple[str, str]], budget: _CopyBudget) -> str | None:
    """Return the text with each passage replaced where it is first; None if one is not in it, or too much is copied."""
    for old, new in replacements:
        if not old or not budget.take(len(text) + len(new)) or old not in text:
            return None
        text = text.replace(old, new, 1)
    return text
