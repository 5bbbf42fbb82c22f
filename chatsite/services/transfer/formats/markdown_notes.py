"""Parser of Markdown files: this site's own Markdown export, and notes with headings that say who wrote what.

The own export has a comment with id, role and time above each message, so the text of a message may have any heading.
In other notes the headings are the marks: `## User`, `### ChatGPT`, `**You:**` and the like, outside of code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.coercion import (
    as_dict,
    as_list,
    as_public_id,
    clean_message_text,
    conversation_title,
    parse_datetime,
    parse_instructions,
    single_line,
)
from chatsite.services.transfer.content import front_matter
from chatsite.services.transfer.content.tag_names import parse_tags
from chatsite.services.transfer.formats.message_lists import content_source_id
from chatsite.services.transfer.formats.native import parse_source_id
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

MARKDOWN_SUFFIXES = (".md", ".markdown", ".txt")
MAX_MESSAGES = 50_000
# The patterns of labels take quadratic time on longer lines, which are no labels.
MAX_LABEL_CHARS = 200
# What `export_markdown` writes above each message, and the heading below it.
MARKER = re.compile(r"<!-- message (\{.{1,3000}\}) -->")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
HEADING = re.compile(r"(#{1,6})[ \t]+(.{1,120}?)[ \t]*#*[ \t]*")
BOLD_LABEL = re.compile(r"(?:\*\*|__)(.{1,40}?)(?:\*\*|__)[ \t]*:?[ \t]*(.*)")
# The words of a label without marks, "said" and a time: "#### You said:", "## 👤 User (10:15)".
LABEL = re.compile(r"[^\w]*(.+?)(?:\s+(?:said|wrote|dijo))?[\s:]*(?:[(\[|·,\u2013\u2014-].*)?[\W_]*")
USER_LABELS = {
    *("user", "you", "human", "me", "prompt", "question", "q", "my prompt"),
    *("usuario", "tú", "tu", "yo", "persona", "pregunta"),
}
ASSISTANT_LABELS = {
    *("assistant", "ai", "bot", "model", "response", "answer", "a", "ai assistant", "chatsite", "llm"),
    *("chatgpt", "gpt", "claude", "gemini", "bard", "grok", "deepseek", "copilot", "perplexity", "mistral", "le chat"),
    *("qwen", "llama", "meta ai", "ai studio", "asistente", "respuesta", "ia", "modelo"),
}


def has_roles(text: str) -> bool:
    """Return whether a note says who wrote what: it has a question and an answer, or is an export of this site."""
    lines = text.split("\n")
    if any(MARKER.match(line) for line in lines):
        return True
    missing: set[Role | None] = {Role.USER, Role.ASSISTANT}
    for role, _ in _iter_labels(lines):
        missing -= {role}
        if not missing:
            return True
    return False


def parse_conversation(record: Mapping[str, Any]) -> ImportedConversation:
    """Parse the `text` of a note that is called `title`. Raises MessageTooLargeError."""
    values, body = front_matter.split(str(record.get("text")))
    omitted = Omissions()
    messages = _parse_messages(body, omitted)
    ordered = message_ordering.parents_first(messages)
    public_id = as_public_id(values.get("id"))
    source_id = parse_source_id(values.get("source")) if public_id else content_source_id("markdown", ordered)
    return ImportedConversation(
        # With an id they are those of this site's own JSON export.
        import_source_id=source_id or f"chatsite:{public_id}",
        original_source_id=source_id,
        public_id=public_id,
        title=conversation_title(values.get("title") or record.get("title")),
        messages=message_ordering.with_one_active_version(ordered),
        created_at=parse_datetime(values.get("created") or values.get("date")),
        updated_at=parse_datetime(values.get("updated")),
        values={"instructions": _find_instructions(body, omitted) if public_id else None},
        tags=parse_tags(_list_tags(values), omitted),
        omitted=omitted,
    )


def _find_instructions(body: str, omitted: Omissions) -> str | None:
    """Return the instructions that an export of this site quotes between the title and the first message."""
    quoted: list[str] = []
    for line in body.split("\n"):
        if MARKER.match(line) or (quoted and not line.startswith(">")):
            break
        if line.startswith("> ") or line == ">":
            quoted.append(line[2:])
    return parse_instructions("\n".join(quoted), omitted)


class _Section:
    """The lines of one message, and the marker above it if there is one."""

    def __init__(self, role: Role | None, marker: Mapping[str, Any] | None = None) -> None:
        self.role = role
        self.marker = marker
        self.label = ""
        self.lines: list[str] = []


def _parse_messages(body: str, omitted: Omissions) -> list[ImportedMessage]:
    """Parse the first MAX_MESSAGES messages of a note, and count the others. Raises MessageTooLargeError."""
    messages: list[ImportedMessage] = []
    sections = _read_sections(body)
    omitted[OmittedKind.MESSAGE] += max(len(sections) - MAX_MESSAGES, 0)
    for number, section in enumerate(sections[:MAX_MESSAGES]):
        marker = as_dict(section.marker)
        text = clean_message_text("\n".join(section.lines))
        model = single_line(marker.get("model"), 200)
        messages.append(
            ImportedMessage(
                source_key=f"#{number}",
                parent_key=messages[-1].source_key if messages else None,
                role=section.role if text else None,
                text=text,
                created_at=parse_datetime(marker.get("created")),
                public_id=as_public_id(marker.get("id")),
                import_source_id=parse_source_id(marker.get("source")),
                generations=[{"model": model}] if model and section.role is Role.ASSISTANT else [],
            )
        )
    return messages


def _list_tags(values: Mapping[str, Any]) -> list[str]:
    tags = values.get("tags")
    names = [tags] if isinstance(tags, str) else as_list(tags)
    return [str(name).lstrip("#") for name in names]


def _read_sections(text: str) -> list[_Section]:
    """Cut a note into its messages. What stands before the first one belongs to none."""
    lines = text.split("\n")
    if any(MARKER.match(line) for line in lines):
        return _read_marked_sections(lines)
    return _read_labeled_sections(lines)


def _read_marked_sections(lines: Sequence[str]) -> list[_Section]:
    sections: list[_Section] = []
    is_heading_expected = False
    for line in lines:
        match = MARKER.fullmatch(line)
        if match and (marker := _parse_marker(match[1])):
            sections.append(_Section(Role(marker["role"]), marker))
            is_heading_expected = True
        elif sections and is_heading_expected and line.startswith("## "):
            is_heading_expected = False
        elif sections:
            is_heading_expected = is_heading_expected and not line.strip()
            sections[-1].lines.append(line)
    return sections


def _parse_marker(text: str) -> dict[str, Any] | None:
    try:
        marker = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return marker if isinstance(marker, dict) and marker.get("role") in list(Role) else None


def _read_labeled_sections(lines: Sequence[str]) -> list[_Section]:
    sections: list[_Section] = []
    for role, text in _iter_labels(lines):
        if role:
            sections.append(_Section(role))
        if sections:
            sections[-1].lines.append(text)
    return sections


def _iter_labels(lines: Sequence[str]) -> Iterator[tuple[Role | None, str]]:
    """Yield each line; one that is a label with its role, and only what is behind it on the line.

    The first label decides which kind of labels the note has: headings of one level, or bold words.
    """
    kind: str | None = None
    for line, is_code in _iter_lines(lines):
        label = None if is_code else _find_label(line)
        if label and kind in (None, label[0]):
            kind, role, rest = label
            yield role, rest
        else:
            yield None, line


def _find_label(line: str) -> tuple[str, Role, str] | None:
    """Return the kind of a label, whose text follows, and the text behind it on its line; None if it is no label."""
    if line.startswith("#") and len(line) > MAX_LABEL_CHARS:
        return None
    if heading := HEADING.fullmatch(line):
        role = _label_role(heading[2])
        return (heading[1], role, "") if role else None
    if bold := BOLD_LABEL.fullmatch(line):
        role = _label_role(bold[1])
        is_label = bold[1].endswith(":") or not bold[2] or ":" in line[len(bold[1]) : len(bold[1]) + 6]
        return ("**", role, bold[2]) if role and is_label else None
    return None


def _label_role(label: str) -> Role | None:
    match = LABEL.fullmatch(label.replace("*", ""))
    name = match[1].strip().lower() if match else ""
    return Role.USER if name in USER_LABELS else Role.ASSISTANT if name in ASSISTANT_LABELS else None


def _iter_lines(lines: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it belongs to a code block."""
    fence: str | None = None
    for line in lines:
        match = FENCE.fullmatch(line)
        if fence is None and match and not (match[1][0] == "`" and "`" in match[2]):
            fence = match[1]
            yield line, True
        else:
            is_end = fence and match and match[1].startswith(fence) and not match[2].strip()
            yield line, fence is not None
            fence = None if is_end else fence
