"""Pictures and other files that lie in an archive beside its conversations: what they are called, and who names them.

They are not imported. A message that has one names it, and what no message has is named in the report, so that nothing
vanishes without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from chatsite.services.transfer.coercion import as_dict, single_line
from chatsite.services.transfer.records import Record, RecordKind

# ChatGPT's archive calls a file by its id and its name, or by its id alone; then this list has the names.
NAMES_FILE = "conversation_asset_file_names.json"
MAX_NAMES_BYTES = 4 * 1024 * 1024
MAX_NAME_CHARS = 120
# A longer text names no file.
MAX_REFERENCE_CHARS = 400
# Files of systems and programs, which nobody has sent to a model.
IGNORED = re.compile(r"__MACOSX/|(?:.*/)?(?:\.|thumbs\.db$|desktop\.ini$)", re.IGNORECASE | re.DOTALL)
_ID_AND_NAME = re.compile(r"(file[-_][A-Za-z0-9]{6,64})(?:[-.](.+))?", re.DOTALL)
_REFERENCE_KEYS = ("asset_pointer", "id", "file_id", "file_uuid", "uuid", "url", "path")
_NAME_KEYS = ("name", "file_name", "filename")
# Links of a note: `![[photo.png]]`, `[text](files/photo.png)`.
_NOTE_LINK = re.compile(r"\[\[([^\[\]|#\n]{1,200})|\]\(<?([^()<>\n]{1,300})")


class ArchivedFiles:
    """The files of one archive that are not read, by what records call them: their name, their id or their path.

    `paths` are their paths. `names` are the names of files whose path has only an id, by the last part of the path.
    """

    def __init__(self, paths: Sequence[str] = (), names: Mapping[str, str] | None = None) -> None:
        self._shown_names: dict[str, str] = {}
        # Several files may have one name, in different folders.
        self._paths: dict[str, list[str]] = {}
        self._used: set[str] = set()
        for path in paths:
            if IGNORED.match(path):
                continue
            base = path.rpartition("/")[2]
            parts = _ID_AND_NAME.fullmatch(base)
            stem = parts[1] if parts else base.rpartition(".")[0] or base
            known = (names or {}).get(base) or (names or {}).get(stem)
            own = parts[2] if parts and "." in (parts[2] or "") else base
            # Grok's archive has a folder with the id of each file, in which it is called `content`.
            folder = path.rpartition("/")[0].rpartition("/")[2] if base == "content" else ""
            shown = single_line(known or folder or own, MAX_NAME_CHARS) or base
            self._shown_names[path] = shown
            for key in {path, base, stem, shown}:
                self._paths.setdefault(key, []).append(path)

    def name_files_of(self, record: Record) -> None:
        """Give the files that a record refers to without a name their names, and note which files are referred to."""
        if not self._paths:
            return
        if record.kind is RecordKind.NOTE:
            for match in _NOTE_LINK.finditer(str(record.value.get("text"))):
                self._find(unquote(match[1] or match[2]))
            return
        for value in _iter_objects(record.value):
            self._name_file_of(value)

    def list_unused(self) -> list[str]:
        """Return the names of the files that no record refers to, in the order of the archive."""
        return [name for path, name in self._shown_names.items() if path not in self._used]

    def _name_file_of(self, value: dict[str, Any]) -> None:
        """Note the files that the texts of an object and its lists are about, and name the one that it stands for."""
        shown = None
        for key in _REFERENCE_KEYS:
            if isinstance(value.get(key), str):
                shown = shown or self._find(value[key])
        texts = [each for each in value.values() if isinstance(each, str)]
        for entries in value.values():
            texts += [each for each in entries if isinstance(each, str)] if isinstance(entries, list) else []
        for text in texts:
            self._find(text)
        if shown and not any(isinstance(value.get(key), str) and value[key] for key in _NAME_KEYS):
            value["name"] = shown

    def _find(self, reference: str) -> str | None:
        """Return the name of the file that a reference means, which counts as used then; None if it means none."""
        if len(reference) > MAX_REFERENCE_CHARS:
            return None
        address = re.split(r"[?#]", reference, maxsplit=1)[0]
        for key in (reference, address, address.rpartition("/")[2]):
            if paths := self._paths.get(key):
                self._used.update(paths)
                return self._shown_names[paths[0]]
        return None


def parse_names(data: bytes) -> dict[str, str]:
    """Return the names in ChatGPT's list of the files of its archive; none if it cannot be read."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return {key: name for key, name in as_dict(value).items() if isinstance(name, str) and name}


def _iter_objects(value: object) -> Iterator[dict[str, Any]]:
    """Yield all objects in a value, with a stack of its own: records of LibreChat are thousands of levels deep."""
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            yield current
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(each for each in current if isinstance(each, dict | list))
