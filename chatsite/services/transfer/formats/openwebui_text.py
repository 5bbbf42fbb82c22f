"""Texts of Open WebUI: `content`, since 0.10 also `output`; before, thoughts and tool calls are in `<details>`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from chatsite.services.transfer.coercion import as_dict, as_float, as_list, single_line
from chatsite.services.transfer.content.attachments import mention_attachment, mention_image
from chatsite.services.transfer.content.markup import format_link
from chatsite.services.transfer.content.markup_blocks import Attributes, replace_elements
from chatsite.services.transfer.omissions import Omissions, OmittedKind

REASONING = "reasoning"
DETAILS_KINDS = {
    "tool_calls": OmittedKind.TOOL_CALL,
    "code_interpreter": OmittedKind.TOOL_CALL,
}
OUTPUT_KINDS = {"function_call": OmittedKind.TOOL_CALL}
# What a call returned belongs to the call.
SILENT_OUTPUT_KINDS = {"message", REASONING, "function_call_output", "open_webui:code_interpreter_output"}
# An image inside the text, or in the files of the site that the export comes from.
LOCAL_IMAGE = re.compile(
    r"!\[([^\[\]\n]{0,300})\]\((?:data:image/|/api/v1/files/|/cache/)[^()\s]*(?: \"[^\"()\n]{0,300}\")?\)"
)
MAX_SOURCES = 100
SUMMARY = re.compile(r"\s*<summary>[^<]{0,1000}</summary>")
QUOTE_MARK = re.compile(r"^> ?", re.MULTILINE)
MAX_SECONDS = 10**6


@dataclass(frozen=True)
class Thought:
    """One reasoning of an answer, with how long it took. Its text may be something else than a text."""

    text: object
    seconds: float | None = None


def list_reasoning(record: Mapping[str, Any]) -> list[Thought]:
    """Return what the model thought for an answer: from `output`, or else from the elements in its text."""
    items = [item for item in map(as_dict, as_list(record.get("output"))) if item.get("type") == REASONING]
    if items:
        return [Thought(_item_text(item), _seconds(item.get("duration"))) for item in items]
    thoughts: list[Thought] = []

    def note_details(attributes: Attributes, inner: str) -> str:
        if attributes["type"] == REASONING:
            text = QUOTE_MARK.sub("", unescape(SUMMARY.sub("", inner, count=1)).strip())
            thoughts.append(Thought(text, _seconds(attributes.get("duration"))))
        return ""

    def note_thought(attributes: Attributes, inner: str) -> str:
        thoughts.append(Thought(inner))
        return ""

    _replace_thoughts(_content_text(record.get("content"), Omissions()), note_details, note_thought)
    return thoughts


def _item_text(item: Mapping[str, Any]) -> str:
    parts = [as_dict(part) for key in ("content", "summary") for part in as_list(item.get(key))]
    return "\n\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _seconds(value: object) -> float | None:
    number = float(value) if isinstance(value, str) and value.isdecimal() and len(value) < 8 else as_float(value)
    return number if number is not None and 0 < number < MAX_SECONDS else None


def message_text(record: Mapping[str, Any], omitted: Omissions, *, is_answer: bool) -> str:
    """Return the text of a message with the names of its files and a list of its sources.

    Counts in `omitted` what is left out of it.
    """
    text = _content_text(record.get("content"), omitted)
    output = list(map(as_dict, as_list(record.get("output"))))
    if is_answer:
        # Where both are there, `output` says more exactly what was thought and called.
        text = _without_details(text, Omissions() if output else omitted)
        text = text if text.strip() else _output_text(output)
        _count_output(output, omitted)
    text = LOCAL_IMAGE.sub(lambda image: mention_image(image[1], omitted), text)
    files = [_file_text(as_dict(each), omitted) for each in as_list(record.get("files"))]
    sources = _source_list(as_list(record.get("sources") or record.get("citations")), omitted) if is_answer else ""
    return "\n\n".join(filter(None, [text.strip(), *files, sources]))


def _content_text(content: object, omitted: Omissions) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for part in map(as_dict, as_list(content)):
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif part.get("type") == "image_url":
            texts.append(mention_image(part.get("name"), omitted))
        else:
            omitted[OmittedKind.UNKNOWN] += bool(part)
    return "\n\n".join(texts)


def _without_details(text: str, omitted: Omissions) -> str:
    """Return an answer without what the model thought and called."""

    def cut_details(attributes: Attributes, inner: str) -> str:
        if attributes["type"] != REASONING:
            omitted[DETAILS_KINDS.get(attributes["type"], OmittedKind.UNKNOWN)] += 1
        return ""

    return _replace_thoughts(text, cut_details, lambda attributes, inner: "")


def _replace_thoughts(
    text: str, replace_details: Callable[[Attributes, str], str], replace_tag: Callable[[Attributes, str], str]
) -> str:
    text = replace_elements(text, "details", replace_details, is_wanted=lambda attributes: "type" in attributes)
    # Only if the answer begins with it: further below somebody may write about the tag.
    return replace_elements(text, "think", replace_tag) if text.lstrip().startswith("<think>") else text


def _output_text(output: list[Mapping[str, Any]]) -> str:
    texts = []
    for item in output:
        if item.get("type") == "message":
            parts = [as_dict(part).get("text") for part in as_list(item.get("content"))]
            texts.append("".join(part for part in parts if isinstance(part, str)).strip())
    return "\n\n".join(filter(None, texts))


def _count_output(output: list[Mapping[str, Any]], omitted: Omissions) -> None:
    for item in output:
        kind = str(item.get("type"))
        if kind not in SILENT_OUTPUT_KINDS and item:
            is_call = kind.endswith("_call") or "code_interpreter" in kind
            omitted[OmittedKind.TOOL_CALL if is_call else OUTPUT_KINDS.get(kind, OmittedKind.UNKNOWN)] += 1


def _file_text(file: Mapping[str, Any], omitted: Omissions) -> str:
    content_type = file.get("content_type") or as_dict(as_dict(file.get("file")).get("meta")).get("content_type")
    name = file.get("name") or as_dict(file.get("file")).get("filename")
    return mention_attachment(name, omitted, media_type="image" if file.get("type") == "image" else content_type)


def _source_list(sources: list[object], omitted: Omissions) -> str:
    """Return the sources that `[1]`, `[2]` and so on in the text refer to, a line for each of the first MAX_SOURCES."""
    shown: dict[str, str] = {}
    for entry in map(as_dict, sources):
        source = as_dict(entry.get("source"))
        for page in map(as_dict, as_list(entry.get("metadata")) or [{}]):
            name = single_line(page.get("name") or source.get("name") or page.get("source"), 200) or ""
            address = next(
                (each for each in (page.get("source"), source.get("url"), name) if isinstance(each, str)), ""
            )
            key = str(page.get("source") or source.get("id") or name)
            shown.setdefault(key, format_link(name, address) or name)
    lines = [f"- [{number}] {text}" for number, text in enumerate(shown.values(), 1) if text]
    omitted[OmittedKind.SOURCE] += max(len(lines) - MAX_SOURCES, 0)
    return "\n".join(lines[:MAX_SOURCES])
