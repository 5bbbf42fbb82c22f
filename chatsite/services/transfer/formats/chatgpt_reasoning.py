"""What the models of ChatGPT thought: nodes of a type of their own between a question and its answer.

A node `thoughts` has the parts, with a summary each; `reasoning_recap` follows it and says how long it took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chatsite.models import Role
from chatsite.services.transfer.coercion import as_dict, as_float, as_list, external_id
from chatsite.services.transfer.content.reasoning import keep_reasoning
from chatsite.services.transfer.message_ordering import ImportedMessage
from chatsite.services.transfer.omissions import Omissions, OmittedKind

REASONING_TYPE = "thoughts"
# Of tool calls and other nodes between the reasoning and its answer.
MAX_STEPS = 50
MAX_SECONDS = 10**6


def attach_reasoning(
    messages: Sequence[ImportedMessage], nodes: Mapping[str, Mapping[str, Any]], omitted: Omissions
) -> None:
    """Give the answers among `messages`, which are all `nodes`, the reasoning that stands above them.

    Counts in `omitted` what has no answer below it.
    """
    kept_keys = {message.source_key for message in messages if message.role}
    thoughts = {key: texts for key, node in nodes.items() if (texts := _list_thoughts(node))}
    used_keys: set[str] = set()
    for message in messages:
        if message.role is not Role.ASSISTANT or not thoughts:
            continue
        above = _dropped_above(message, nodes, kept_keys)
        found = [key for key in above if key in thoughts]
        seconds = [number for key in above if (number := _seconds(nodes[key])) is not None]
        parts = [text for key in found for text in thoughts[key]]
        message.reasoning = keep_reasoning(parts, omitted, has_answer=True, seconds=sum(seconds) or None)
        used_keys.update(found)
    omitted[OmittedKind.THOUGHTS] += len(thoughts.keys() - used_keys)


def _list_thoughts(node: Mapping[str, Any]) -> list[object]:
    content = as_dict(as_dict(node.get("message")).get("content"))
    if content.get("content_type") != REASONING_TYPE:
        return []
    parts = [as_dict(part) for part in as_list(content.get("thoughts"))]
    return [text for part in parts if (text := part.get("content") or part.get("summary"))]


def _dropped_above(message: ImportedMessage, nodes: Mapping[str, Mapping[str, Any]], kept_keys: set[str]) -> list[str]:
    """Return the keys of the nodes between a message and the one above it that comes in, from the top down."""
    keys: list[str] = []
    key = message.parent_key
    while key is not None and key in nodes and key not in kept_keys and len(keys) < MAX_STEPS:
        keys.append(key)
        key = external_id(nodes[key].get("parent"))
    return keys[::-1]


def _seconds(node: Mapping[str, Any]) -> float | None:
    seconds = as_float(as_dict(as_dict(node.get("message")).get("metadata")).get("finished_duration_sec"))
    return seconds if seconds is not None and 0 < seconds < MAX_SECONDS else None
