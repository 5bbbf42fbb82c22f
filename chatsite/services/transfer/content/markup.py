"""Markdown that the parsers write: code blocks, links, and the names of what is not imported."""

from __future__ import annotations

import re

from chatsite.services.transfer.coercion import single_line

MAX_NAME_CHARS = 200
MAX_URL_CHARS = 2000
LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,40}")
WEB_ADDRESS = re.compile(r"https?://[^\s<>()\\]+", re.IGNORECASE)
BACKTICKS = re.compile("`+")


def fence_code(code: str, language: object = None) -> str:
    """Return a code block. Its fences are longer than any run of backticks in the code, so that it ends where it ends.

    `language` is kept if it is a word, except "unknown".
    """
    fence = "`" * max(3, 1 + max(map(len, BACKTICKS.findall(code)), default=0))
    is_word = isinstance(language, str) and language != "unknown" and LANGUAGE.fullmatch(language)
    return f"{fence}{language if is_word else ''}\n{code}\n{fence}"


def under_title(title: str | None, text: str) -> str:
    """Return a document under its title, if it has one."""
    return f"**{_escape(title)}**\n\n{text}" if title else text


def image_placeholder(name: object = None) -> str:
    """Return what stands for an image in a text: `[image: name]`, or `[image]` without a name."""
    shown = _placeholder_name(name)
    return f"[image: {shown}]" if shown else "[image]"


def recording_placeholder(kind: str, name: object = None) -> str:
    """Return what stands for a recording in a text: `[audio: name]`, or `[audio]` without a name; so for video."""
    shown = _placeholder_name(name)
    return f"[{kind}: {shown}]" if shown else f"[{kind}]"


def file_placeholder(name: object = None) -> str:
    """Return what stands for an attached file in a text: `[name]`, or `[file]` without a name."""
    return f"[{_placeholder_name(name) or 'file'}]"


def format_link(title: object, url: object) -> str | None:
    """Return a Markdown link to a web address, titled with its host if it has no title; None for other addresses."""
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS:
        return None
    address = url.strip().replace("(", "%28").replace(")", "%29")
    if not WEB_ADDRESS.fullmatch(address):
        return None
    return f"[{_escape(single_line(title, MAX_NAME_CHARS) or address.split('/')[2])}]({address})"


def _placeholder_name(name: object) -> str | None:
    shown = single_line(name, MAX_NAME_CHARS)
    return shown.translate(str.maketrans("[]", "()")) if shown else None


def _escape(text: str) -> str:
    return re.sub(r"([\\\[\]*_`<])", r"\\\1", text)
