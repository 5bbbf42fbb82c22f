"""Texts of ChatGPT: parts of messages, the marks of its search, and the names of what is not imported."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chatsite.services.transfer.coercion import as_dict, as_int, as_list, single_line
from chatsite.services.transfer.content.attachments import mention_attachment, mention_image
from chatsite.services.transfer.content.markup import format_link, recording_placeholder
from chatsite.services.transfer.omissions import Omissions, OmittedKind

# Since 2025 a mark is `U+E200 kind U+E202 argument... U+E201`, and U+E203 to U+E206 enclose highlighted text.
MARK = re.compile("\ue200(?:([^\ue200\ue201]*)\ue201|[^\ue200\ue201\\s]*)")
LEFTOVER_MARKS = dict.fromkeys(range(0xE200, 0xE207))
# Before it was `【7†source】`, and in some texts `:contentReference[oaicite:7]{index=7}`.
OLD_MARK = re.compile(
    r"【\d{1,4}(?::\d{1,4})?†[^【】\n]{0,200}】|:contentReference\[oaicite:\d{1,4}\]\{index=\d{1,4}\}"
)
# Files that the code interpreter wrote; the address leads nowhere outside of ChatGPT.
SANDBOX_LINK = re.compile(r"!?\[([^\[\]\n]{0,500})\]\(sandbox:(?:[^()\n]|\([^()\n]{0,100}\)){0,300}\)")
CLOSING_CHARS = frozenset(".,;:!?)]\"'”»…")
AUDIO_TYPES = {"audio_asset_pointer", "real_time_user_audio_video_asset_pointer"}


def join_parts(content: Mapping[str, Any], metadata: Mapping[str, Any], omitted: Omissions) -> str:
    """Return the parts of a message as text, with placeholders for images, recordings and attached files.

    Counts in `omitted` what the placeholders stand for, and parts of unknown kinds.
    """
    attachments = [as_dict(each) for each in as_list(metadata.get("attachments"))]
    names = {str(each.get("id")): each.get("name") for each in attachments}
    parts = as_list(content.get("parts"))
    is_transcribed = any(as_dict(part).get("content_type") == "audio_transcription" for part in parts)
    texts, shown_ids = [], set()
    for part in parts:
        asset_id = str(as_dict(part).get("asset_pointer")).rpartition("//")[2].partition("#")[0]
        shown_ids.add(asset_id)
        name = names.get(asset_id) or as_dict(part).get("name")
        texts.append(_part_text(part, name, omitted, is_transcribed=is_transcribed))
    for each in attachments:
        if str(each.get("id")) not in shown_ids:
            texts.append(mention_attachment(each.get("name"), omitted, media_type=each.get("mime_type")))
    return "\n\n".join(filter(None, texts))


def image_texts(content: Mapping[str, Any], metadata: Mapping[str, Any], omitted: Omissions) -> str:
    """Return the placeholders of the images that a tool made, each with its title or its prompt."""
    names = []
    for part in map(as_dict, as_list(content.get("parts"))):
        if part.get("content_type") == "image_asset_pointer":
            prompt = as_dict(as_dict(part.get("metadata")).get("dalle")).get("prompt")
            names.append(metadata.get("image_gen_title") or prompt or part.get("name"))
    charts = as_list(as_dict(metadata.get("aggregate_result")).get("messages"))
    names += [None for chart in map(as_dict, charts) if chart.get("message_type") == "image"]
    return "\n\n".join(mention_image(name, omitted) for name in names)


def resolve_marks(text: str, metadata: Mapping[str, Any], omitted: Omissions) -> str:
    """Return an answer with links in place of the marks of the search, and links to files that are gone as their text.

    A mark without a reference is removed, with the space before it.
    """
    references = _read_references(metadata)
    citations = _read_citations(text, as_list(metadata.get("citations")))
    text = _replace_marks(OLD_MARK, text, lambda mark: citations.get(mark.start()) or references.get(mark[0]))
    text = _replace_marks(MARK, text, lambda mark: _resolve_mark(mark, references)).translate(LEFTOVER_MARKS)
    text, link_count = SANDBOX_LINK.subn(r"\1", text)
    omitted[OmittedKind.FILE] += link_count
    return text


def _part_text(part: object, name: object, omitted: Omissions, *, is_transcribed: bool) -> str:
    if isinstance(part, str):
        return part
    fields = as_dict(part)
    kind = str(fields.get("content_type"))
    if isinstance(fields.get("text"), str):
        return str(fields["text"])
    if kind == "image_asset_pointer":
        return mention_image(name, omitted)
    if kind in AUDIO_TYPES or kind == "video_container_asset_pointer":
        omitted[OmittedKind.RECORDING] += 1
        # What was said is in the text where there is a transcript.
        return "" if is_transcribed else recording_placeholder("audio" if kind in AUDIO_TYPES else "video", name)
    omitted[OmittedKind.UNKNOWN] += bool(fields)
    return ""


def _read_references(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what stands for each mark that `content_references` explains."""
    references: dict[str, str] = {}
    for each in map(as_dict, as_list(metadata.get("content_references"))):
        mark, shown = each.get("matched_text"), _reference_text(each)
        if isinstance(mark, str) and mark.strip() and shown:
            references.setdefault(mark.strip(), shown)
    return references


def _reference_text(reference: Mapping[str, Any]) -> str | None:
    alternative = reference.get("alt")
    if isinstance(alternative, str) and alternative.strip():
        return alternative.strip()
    pages = [reference, *map(as_dict, as_list(reference.get("items")))]
    links = [link for page in pages if (link := format_link(page.get("title"), page.get("url")))]
    name = single_line(reference.get("name"), 200)
    return f"({', '.join(dict.fromkeys(links))})" if links else f"({name})" if name else None


def _resolve_mark(mark: re.Match[str], references: Mapping[str, str]) -> str | None:
    """Return what stands for a mark: its reference, or else what its own arguments say."""
    known = references.get(mark[0])
    kind, *arguments = (mark[1] or "").split("\ue202")
    if known or not arguments:
        return known
    if kind == "entity":
        return _entity_name(arguments[0])
    if kind == "url":
        return format_link(arguments[0], arguments[-1]) or arguments[0]
    return None


def _entity_name(argument: str) -> str | None:
    """Return the name in the arguments of an entity, a JSON array of kind, name and description."""
    try:
        values = as_list(json.loads(argument))
    except (ValueError, RecursionError):
        return None
    return single_line(values[1], 200) if len(values) > 1 else None


def _read_citations(text: str, citations: Sequence[object]) -> dict[int, str]:
    """Return a link for each mark that `citations` explains, by the position of the mark."""
    links: dict[int, str] = {}
    places = [mark.start() for mark in OLD_MARK.finditer(text)]
    for number, each in enumerate(map(as_dict, citations)):
        page = as_dict(each.get("metadata"))
        link = format_link(page.get("title"), page.get("url"))
        # Positions count in other units where there are emoji; if there is one for each mark, their order is enough.
        place = places[number] if len(places) == len(citations) else as_int(each.get("start_ix"), 0, len(text))
        if place is not None and link:
            links[place] = f"({link})"
    return links


def _replace_marks(pattern: re.Pattern[str], text: str, resolve: Callable[[re.Match[str]], str | None]) -> str:
    """Return the text with what `resolve` returns for each mark, behind a space; without the mark if that is None."""
    pieces: list[str] = []
    end = 0
    for mark in pattern.finditer(text):
        gap = text[end : mark.start()]
        before = gap.rstrip(" \t")
        last_char = before[-1:] or (pieces[-1][-1:] if pieces and not gap else "")
        shown = resolve(mark)
        is_word_next = text[mark.end() : mark.end() + 1].isalnum()
        # Nothing between the signs of emphasis or an opening bracket and what they belong to.
        has_space = len(before) < len(gap) or last_char.isalnum() or last_char in CLOSING_CHARS
        separator = (
            " " if last_char not in {"", "\n"} and (has_space if shown else is_word_next and before != gap) else ""
        )
        pieces += [before, separator, shown or ""]
        end = mark.end()
    return "".join([*pieces, text[end:]])
