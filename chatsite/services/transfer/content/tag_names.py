"""Names of the tags of an imported conversation."""

from __future__ import annotations

from collections.abc import Iterable

from chatsite.models.tag import MAX_TAG_CHARS
from chatsite.services.organize.tags import MAX_TAGS
from chatsite.services.transfer.coercion import single_line
from chatsite.services.transfer.omissions import Omissions, OmittedKind


def parse_tags(names: Iterable[object], omitted: Omissions) -> list[str]:
    """Return the names that are visible texts, each once, and no more than a user may have tags.

    Counts the others in `omitted`.
    """
    found = list(dict.fromkeys(tag for name in names if (tag := single_line(name, MAX_TAG_CHARS))))
    omitted[OmittedKind.TAG] += max(len(found) - MAX_TAGS, 0)
    return found[:MAX_TAGS]
