"""Parts of the messages of OpenAI's and Anthropic's interfaces: text, placeholders, and what is left out.

Chat Completions (`image_url`, `file`, `tool_calls`), Responses (`input_file`, `output_text`), Assistants (`image_file`,
`attachments`) and Messages (`document`, `thinking`, `tool_use`). Some servers add `reasoning_content`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chatsite.services.transfer.coercion import as_dict, as_list, clean_message_text
from chatsite.services.transfer.content.attachments import mention_attachment, mention_image
from chatsite.services.transfer.omissions import Omissions, OmittedKind

IMAGE_PARTS = {"image_url", "image", "input_image", "image_file"}
AUDIO_PARTS = {"input_audio", "audio"}
FILE_PARTS = {"file", "input_file", "document"}
OMITTED_PARTS = {
    "redacted_thinking": OmittedKind.THOUGHTS,
    "tool_use": OmittedKind.TOOL_CALL,
    "server_tool_use": OmittedKind.TOOL_CALL,
    "tool_call": OmittedKind.TOOL_CALL,
    "tool-call": OmittedKind.TOOL_CALL,
    "function_call": OmittedKind.TOOL_CALL,
}
# What a call returned belongs to the call.
SILENT_PARTS = {"tool_result", "tool-result", "web_search_tool_result"}
# Each with where it has its text.
REASONING_PARTS = {"thinking": ("thinking", "text"), "reasoning": ("text", "reasoning")}
REASONING_KEYS = ("reasoning_content", "reasoning")
NAME_KEYS = ("filename", "file_name", "name", "title")


def message_text(record: Mapping[str, Any], text_keys: Sequence[str], omitted: Omissions) -> str:
    """Return the text of a message, the first of `text_keys` that has one, with the names of its files.

    Counts in `omitted` what is left out of it. Raises MessageTooLargeError.
    """
    omitted[OmittedKind.TOOL_CALL] += len(as_list(record.get("tool_calls"))) or bool(record.get("function_call"))
    texts: list[str] = []
    for key in text_keys:
        texts = texts or [text for part in _parts(record.get(key)) if (text := _part_text(part, omitted)).strip()]
    texts += [_file_text(as_dict(each), omitted) for each in as_list(record.get("attachments"))]
    return clean_message_text("\n\n".join(texts))


def list_reasoning(record: Mapping[str, Any], text_keys: Sequence[str]) -> list[object]:
    """Return the parts of a message that are reasoning; what has no text among them comes as something else."""
    # Some servers have the same under both keys.
    found: list[object] = next(([record[key]] for key in REASONING_KEYS if record.get(key)), [])
    for part in [as_dict(part) for key in text_keys for part in _parts(record.get(key))]:
        keys = REASONING_PARTS.get(str(part.get("type")))
        if keys:
            found.append(next((part[key] for key in keys if part.get(key)), None))
    return found


def _parts(content: object) -> list[Any]:
    return [content] if isinstance(content, str) else as_list(content)


def _part_text(part: object, omitted: Omissions) -> str:
    if isinstance(part, str):
        return part
    fields = as_dict(part)
    kind = str(fields.get("type"))
    if kind in IMAGE_PARTS:
        return mention_image(_file_name(fields), omitted)
    if kind in AUDIO_PARTS:
        omitted[OmittedKind.RECORDING] += 1
        return "[audio]"
    if kind in FILE_PARTS:
        return _file_text(fields, omitted)
    if kind in REASONING_PARTS:
        return ""
    if kind in OMITTED_PARTS:
        omitted[OMITTED_PARTS[kind]] += 1
        return ""
    text = fields.get("text") or fields.get("refusal")
    # The text of Jan's parts is an object with the text as its `value`.
    text = as_dict(text).get("value", text)
    if isinstance(text, str):
        return text
    omitted[OmittedKind.UNKNOWN] += bool(fields) and kind not in SILENT_PARTS
    return ""


def _file_text(fields: Mapping[str, Any], omitted: Omissions) -> str:
    media_type = next((fields[key] for key in ("mediaType", "mimeType", "media_type", "type") if key in fields), None)
    return mention_attachment(_file_name(fields), omitted, media_type=media_type)


def _file_name(fields: Mapping[str, Any]) -> object:
    """Return the name of a file, which stands in its part or in the object that the part is named after."""
    inner = as_dict(fields.get(str(fields.get("type"))))
    return next((each[key] for each in (fields, inner) for key in NAME_KEYS if isinstance(each.get(key), str)), None)
