"""Files that cannot be imported, and what to do with each.

A file is refused by its name only if nothing in it could be read: anybody may call a chat `projects.json`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from chatsite.errors import (
    ArchivePageError,
    NoConversationsInFileError,
    OtherArchiveError,
    OtherEncodingError,
    TakeoutPageError,
    TemplateError,
    UnreadableError,
    UnsupportedProductError,
)
from chatsite.services.transfer.formats.markdown_notes import MARKDOWN_SUFFIXES

PROBE_BYTES = 4000

_ARCHIVES = {b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_ENCODINGS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"{\0": "UTF-16",
    b"[\0": "UTF-16",
    b"\0{": "UTF-16",
    b"\0[": "UTF-16",
}
_HTML = re.compile(rb"\s*<(?:!doctype html|html|head|body|!--)", re.IGNORECASE)
_TAKEOUT = re.compile(rb"Gemini Apps|Google Takeout|Takeout/", re.IGNORECASE)
# Files of an archive that have no conversations, with the product and the file that has them.
_OTHER_FILES = {
    **dict.fromkeys(("memories.json", "projects.json", "users.json"), ("Claude", "conversations.json")),
    **dict.fromkeys(
        (
            "user.json",
            "user_settings.json",
            "message_feedback.json",
            "shared_conversations.json",
            "model_comparisons.json",
            "conversation_asset_file_names.json",
            "export_manifest.json",
            "library_files.json",
            "shopping.json",
            "sora.json",
        ),
        ("ChatGPT", "conversations.json"),
    ),
    **dict.fromkeys(("prod-mc-auth-mgmt-api.json", "prod-mc-billing.json"), ("Grok", "prod-grok-backend.json")),
}
_OTHER_FOLDERS = {"design_chats": ("Claude", "conversations.json"), "projects": ("Claude", "conversations.json")}


def _keys(*names: str) -> Callable[[bytes], bool]:
    """Return a test whether JSON begins with objects that have all these keys; a key in a text is escaped."""
    patterns = [re.compile(rb'(?<!\\)"(?:' + name.encode() + rb')"\s*:') for name in names]
    return lambda first_bytes: all(pattern.search(first_bytes) for pattern in patterns)


_PRODUCTS = [
    (_keys("exportType", "state"), "LobeChat"),
    (_keys("schemaHash", "data"), "LobeChat"),
    (_keys("chatID|chatTitle|TM_[a-zA-Z]+|userPrompts"), "TypingMind"),
    (_keys("chat-sessions-list|__exported_items|chat-session-settings"), "Chatbox"),
    (_keys("indexedDB", "localStorage"), "Cherry Studio"),
    (_keys("chunkedPrompt|runSettings"), "Google AI Studio"),
    (_keys("sessionId", "parentUuid|isSidechain"), "Claude Code"),
    (_keys("type", "summary", "leafUuid"), "Claude Code"),
    (_keys("type", "operation", "sessionId"), "Claude Code"),
    (_keys("sessionId", "projectHash"), "Gemini CLI"),
    (_keys("timestamp", "type", "payload"), "Codex"),
    (_keys("entries", "query|query_str"), "Perplexity"),
    (_keys("query_str|thread_url_slug"), "Perplexity"),
    (_keys("threads", "export_info"), "Perplexity"),
    (_keys("assistants|model", "object", "metadata"), "Jan"),
    (_keys("chatId", "contentChunks|parentVersion"), "Mistral"),
]
_OTHER_CONTENT = [
    (_keys("conversations_memory|project_memories"), "Claude"),
    (_keys("prompt_template", "docs"), "Claude"),
    (_keys("full_name", "email_address"), "Claude"),
    (_keys("email", "chatgpt_plus_user"), "ChatGPT"),
]
_PLACEHOLDER = re.compile(rb'"(?:\[[\w ]{1,30}\]|<[\w ]{1,60}>|\{\{[^{}"]{1,40}\}\})"')
MIN_PLACEHOLDERS = 3


def find_refusal(path: str, first_bytes: bytes) -> UnreadableError | None:
    """Return why a file cannot be read, as far as its kind says it, or None."""
    for magic, kind in _ARCHIVES.items():
        if first_bytes.startswith(magic):
            return OtherArchiveError(kind=kind)
    if first_bytes[257:262] == b"ustar":
        return OtherArchiveError(kind="tar")
    for mark, encoding in _ENCODINGS.items():
        if first_bytes.startswith(mark):
            return OtherEncodingError(encoding=encoding)
    # A note may begin with a comment or an element too.
    is_note = path.lower().endswith(MARKDOWN_SUFFIXES)
    if not is_note and _HTML.match(first_bytes.removeprefix(b"\xef\xbb\xbf")):
        return _find_page_refusal(path, first_bytes)
    return None


def find_other_file(path: str) -> UnreadableError | None:
    """Return what a JSON file without conversations is, if the archive of a product has one of this name, or None."""
    *folders, name = path.lower().split("/")
    other = _OTHER_FILES.get(name) or next((_OTHER_FOLDERS[each] for each in folders if each in _OTHER_FOLDERS), None)
    if other and name.endswith(".json"):
        return NoConversationsInFileError(product=other[0], name=other[1])
    return None


def find_unsupported(first_bytes: bytes) -> UnreadableError | None:
    """Return what a JSON file without any known conversation seems to be, or None."""
    for matches, product in _OTHER_CONTENT:
        if matches(first_bytes):
            return NoConversationsInFileError(product=product, name="conversations.json")
    return next((UnsupportedProductError(product=name) for matches, name in _PRODUCTS if matches(first_bytes)), None)


def find_template(first_bytes: bytes) -> UnreadableError | None:
    """Return an error if a damaged JSON file has placeholders in the place of values, or None."""
    return TemplateError() if len(_PLACEHOLDER.findall(first_bytes)) >= MIN_PLACEHOLDERS else None


def _find_page_refusal(path: str, first_bytes: bytes) -> UnreadableError | None:
    if path.lower().endswith("chat.html") or b"ChatGPT" in first_bytes:
        return ArchivePageError()
    return TakeoutPageError() if _TAKEOUT.search(path.encode() + first_bytes) else None
