"""How Markdown is read: CommonMark 0.31 with GitHub's tables, strikethrough and task lists, formulas, and no HTML.

Both parsers here know the same syntax. MARKDOWN reads everything; OUTLINE stops at the blocks, which is all
that cutting a text into blocks needs and a fraction of the work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from chatsite.rendering import formulas

MOST_SOURCE = 100_000
"""A text with more characters is shown as it was written: its tables alone could take seconds to parse."""

MOST_LEVELS = 40
"""The parser drops what is nested deeper than this, so whoever renders has to look for it (`parse`)."""

MOST_INLINE = 5_000
"""A paragraph, heading or cell with more characters keeps its text and loses its inline marks.

Some rows of brackets or stars take quadratic time, which this bounds. Code has no inline marks, hence no
bound.
"""

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LINE_END = re.compile("\r\n?")
_LINK = re.compile(r"https?://[^/]|mailto:.", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\]\s+")
# An address ends before the sentence does; round brackets belong to it in pairs.
_ADDRESS = re.compile(r"\bhttps?://(?:[^\s<>()\[\]\"`]|\([^\s<>()\"`]*\))+(?<![.,;:!?*_~'])", re.IGNORECASE)
_CONTAINERS = frozenset({"blockquote_open", "bullet_list_open", "ordered_list_open", "list_item_open"})


def tidy(source: str) -> str:
    """Give `source` with line feeds as its only line ends and U+FFFD for each character that no text holds.

    Those are control characters and halves of surrogate pairs; HTML forbids both.
    """
    return _NO_TEXT.sub("\ufffd", _LINE_END.sub("\n", source))


class _MarkdownIt(MarkdownIt):
    """A parser for which only absolute web and mail addresses are links; others stay text."""

    def validateLink(self, url: str) -> bool:  # noqa: N802
        """Say whether `url` may be a link; the name is the parent's."""
        return _LINK.match(url) is not None


def _read_inline(state: StateCore) -> None:
    """Read the marks inside each paragraph, heading and cell; an overlong one becomes one piece of text."""
    for token in state.tokens:
        if token.type != "inline":
            continue
        if len(token.content) > MOST_INLINE:
            token.children = [Token("text", "", 0, content=token.content)]
        else:
            token.children = []
            state.md.inline.parse(token.content, state.md, state.env, token.children)


def _unload_images(state: StateCore) -> None:
    """Turn every image into a link with its alternative text.

    A browser that fetches an image tells its address to another machine, and the model may have written the
    conversation into that address.
    """
    for token in state.tokens:
        if token.children and any(child.type == "image" for child in token.children):
            token.children = _without_images(token.children, state)


def _without_images(tokens: list[Token], state: StateCore) -> list[Token]:
    """Give `tokens` with links in place of images, or only text where a link is around the image."""
    kept: list[Token] = []
    links = 0
    for token in tokens:
        links += token.nesting if token.type.startswith("link_") else 0
        kept += [token] if token.type != "image" else _image_link(token, state, linked=links > 0)
    return kept


def _image_link(image: Token, state: StateCore, linked: bool) -> list[Token]:
    """Give the tokens that stand for `image`; its address is shown where it has no alternative text."""
    address = str(image.attrGet("src") or "")
    name = " ".join(text_of(image.children or []).split()) or state.md.normalizeLinkText(address)
    text = Token("text", "", 0, content=name)
    if linked:
        return [text]
    return [Token("link_open", "a", 1, attrs={"href": address}), text, Token("link_close", "a", -1)]


def _link_addresses(state: StateCore) -> None:
    """Make a link of every web address that stands in the text as it is."""
    for token in state.tokens:
        if token.children and any("://" in child.content for child in token.children):
            token.children = _with_links(token.children, state)


def _with_links(tokens: list[Token], state: StateCore) -> list[Token]:
    """Give `tokens` with links in the text that is not in a link."""
    kept: list[Token] = []
    links = 0
    for token in tokens:
        links += token.nesting if token.type.startswith("link_") else 0
        kept += _cut_text(token.content, state) if token.type == "text" and not links else [token]
    return kept


def _cut_text(text: str, state: StateCore) -> list[Token]:
    """Give the tokens of a piece of text, with links where addresses are."""
    made: list[Token] = []
    done = 0
    for found in _ADDRESS.finditer(text):
        address = state.md.normalizeLink(found[0])
        if state.md.validateLink(address):
            made.append(Token("text", "", 0, content=text[done : found.start()]))
            made.append(Token("link_open", "a", 1, attrs={"href": address}))
            made += [Token("text", "", 0, content=found[0]), Token("link_close", "a", -1)]
            done = found.end()
    return [*made, Token("text", "", 0, content=text[done:])]


def _find_tasks(state: StateCore) -> None:
    """Turn `[ ]` and `[x]` at the beginning of a list item into a token `task`, whose `info` is empty or `done`."""
    for item, _, inline in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if item.type != "list_item_open" or not inline.children or inline.children[0].type != "text":
            continue
        text = inline.children[0]
        found = _TASK.match(text.content)
        if found and (found.end() < len(text.content) or len(inline.children) > 1):
            text.content = text.content[found.end() :]
            inline.children.insert(0, Token("task", "span", 0, info="" if found[1] == " " else "done"))


def text_of(tokens: list[Token]) -> str:
    """Give the words of inline `tokens` without their marks."""
    return "".join(_word(token) for token in tokens)


def _word(token: Token) -> str:
    """Give what one inline token contributes to plain text."""
    if token.type in ("softbreak", "hardbreak"):
        return "\n"
    return text_of(token.children) if token.children else token.content


def _markdown() -> MarkdownIt:
    """Make the parser of everything."""
    options = {"html": False, "xhtmlOut": False, "breaks": True, "maxNesting": MOST_LEVELS}
    parser = _MarkdownIt("commonmark", options)
    parser.enable(["table", "strikethrough"])
    parser.core.ruler.at("inline", _read_inline)
    parser.core.ruler.push("unload_images", _unload_images)
    parser.core.ruler.push("find_tasks", _find_tasks)
    parser.core.ruler.push("link_addresses", _link_addresses)
    formulas.install(parser)
    return parser


def _outline() -> MarkdownIt:
    """Make the parser of blocks."""
    parser = _markdown()
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


MARKDOWN = _markdown()
OUTLINE = _outline()


def parse(source: str, env: MutableMapping[str, object]) -> list[Token]:
    """Give the block tokens of tidy `source`, with the inline ones as their children.

    A source that is too long, or nested so deeply that the parser would drop some of it, comes back as one
    block of code, so that nothing is lost.
    """
    if len(source) <= MOST_SOURCE:
        tokens = MARKDOWN.parse(source, env)
        if not any(token.level >= MOST_LEVELS - 1 and token.type in _CONTAINERS for token in tokens):
            return tokens
    return [Token("code_block", "code", 0, content=source)]


def cut(source: str) -> tuple[list[str], Mapping[str, object]]:
    """Cut tidy `source` into its top-level blocks and find the link reference definitions in it.

    The blocks joined together are the source: each runs to the line where the next one starts.
    """
    if len(source) > MOST_SOURCE:
        return [source], {}
    env: dict[str, dict[str, object]] = {}
    tokens = OUTLINE.parse(source, env)
    starts = [token.map[0] for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
    lines = source.split("\n")
    borders = [0, *starts[1:], len(lines)]
    blocks = ["\n".join(lines[a:b]) for a, b in pairwise(borders)]
    whole = [block + "\n" for block in blocks[:-1]] + blocks[-1:]
    return [block for block in whole if block], env.get("references", {})
