"""Names of exported files: what every file system takes, and the same name each time."""

from __future__ import annotations

import hashlib
import re
import unicodedata

# What Windows forbids in names, and what Obsidian forbids in names that are linked to.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*#^\[\]]+')
MAX_TITLE_BYTES = 160
DEFAULT_NAME = "chatsite"
SHORT_ID_CHARS = 8


def title_to_name(title: str) -> str:
    """Return a title as the name of a file, without a suffix; DEFAULT_NAME if nothing of it can be in a name."""
    text = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in unicodedata.normalize("NFC", title))
    name = " ".join(_FORBIDDEN.sub(" ", text).split())
    # A name ends with no dot or space on Windows, and has at most 255 bytes on Linux.
    return name.encode()[:MAX_TITLE_BYTES].decode(errors="ignore").strip(" .") or DEFAULT_NAME


class UniqueNames:
    """Names for the conversations of one export, different also where upper and lower case are the same.

    A name depends only on the title and the id, so a second export gives the same names.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make_name(self, title: str, public_id: str) -> str:
        """Return the name of the file of a conversation, without a suffix."""
        digest = hashlib.sha256(public_id.encode()).hexdigest()
        short_id = digest[:SHORT_ID_CHARS] if digest[:SHORT_ID_CHARS] not in self._taken else digest
        self._taken.add(short_id)
        return f"{title_to_name(title)} {short_id}"
