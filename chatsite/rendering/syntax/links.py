"""Links in Markdown: images as links, addresses that stand in the text, and definitions that nothing refers to.

GitHub hides all definitions of link references. Models write lists of sources in that form and refer to none of them,
so a definition is hidden only if something refers to it.
"""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.reference import reference
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

# Punctuation of full width ends an address as blanks do: in Chinese and Japanese no blank comes after it.
_END = '\\s<>"`\u2018-\u201f\u3000-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65'
# An address ends before the sentence does; round brackets belong to it in pairs.
_URL = re.compile(rf"(?<![0-9A-Za-z_])https?://(?:[^()\[\]{_END}]|\([^(){_END}]*\))+(?<![.,;:!?*_~'…])", re.IGNORECASE)
_DEFINITION_LABEL = re.compile(r"\s*\[((?:[^\[\]\\]|\\.)+)\]:", re.DOTALL)


class References(dict[str, Any]):
    """Link definitions by their labels, which remembers in `used` those that a link needed."""

    def __init__(self) -> None:
        super().__init__()
        self.used: set[str] = set()

    def get(self, label: str, default: Any = None) -> Any:
        """Return the definition of a label, for a link."""
        if label in self:
            self.used.add(label)
        return super().get(label, default)


def install_plugin(parser: MarkdownIt) -> None:
    """Teach `parser` links: its tokens `link_definition` have the lines of definitions in `meta`."""
    parser.block.ruler.at("reference", _read_definition)
    parser.core.ruler.push("unload_images", _images_to_links)
    parser.core.ruler.push("link_addresses", _link_urls)


def _read_definition(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read a definition; successive ones are one token."""
    if not reference(state, start, end, silent):
        return False
    if silent:
        return True
    source = state.getLines(start, state.line, state.blkIndent, False)
    previous = state.tokens[-1] if state.tokens else None
    if previous and previous.type == "link_definition" and previous.map and previous.map[1] == start:
        token = previous
        token.content += "\n" + source
    else:
        token = state.push("link_definition", "", 0)
        token.content, token.map, token.meta = source, [start, state.line], {"definitions": []}
    label = _DEFINITION_LABEL.match(source)
    token.meta["definitions"].append((normalizeReference(label[1]) if label else "", source))
    if token.map:
        token.map[1] = state.line
    return True


def definition_tokens(token: Token, md: MarkdownIt, used: set[str]) -> list[Token]:
    """Return the inline tokens of a `link_definition` for those that are not used, each on a line of its own."""
    tokens: list[Token] = []
    for label, source in token.meta["definitions"]:
        if label not in used:
            tokens += [Token("hardbreak", "br", 0)] if tokens else []
            tokens += _split_at_urls(source, md)
    return tokens


def _images_to_links(state: StateCore) -> None:
    """Turn every image into a link with its alternative text.

    A browser that fetches an image tells its address to another machine, and the model may have written the
    conversation into that address.
    """
    for token in state.tokens:
        if token.children and any(child.type == "image" for child in token.children):
            token.children = _without_images(token.children, state)


def _without_images(tokens: list[Token], state: StateCore) -> list[Token]:
    """Return `tokens` with links in place of images, or only text where a link is around the image."""
    output: list[Token] = []
    links = 0
    for token in tokens:
        links += token.nesting if token.type.startswith("link_") else 0
        output += [token] if token.type != "image" else _image_link(token, state, linked=links > 0)
    return output


def _image_link(image: Token, state: StateCore, linked: bool) -> list[Token]:
    """Return the tokens that stand for `image`; its address is shown where it has no alternative text."""
    url = str(image.attrGet("src") or "")
    label = " ".join(inline_text(image.children or []).split()) or state.md.normalizeLinkText(url)
    text = Token("text", "", 0, content=label)
    if linked:
        return [text]
    return [Token("link_open", "a", 1, attrs={"href": url}), text, Token("link_close", "a", -1)]


def _link_urls(state: StateCore) -> None:
    """Make a link of every web address that stands in the text as it is."""
    for token in state.tokens:
        if token.children and any("://" in child.content for child in token.children):
            token.children = _with_links(token.children, state.md)


def _with_links(tokens: list[Token], md: MarkdownIt) -> list[Token]:
    """Return `tokens` with links in the text that is not in a link."""
    output: list[Token] = []
    links = 0
    for token in tokens:
        links += token.nesting if token.type.startswith("link_") else 0
        output += _split_at_urls(token.content, md) if token.type == "text" and not links else [token]
    return output


def _split_at_urls(text: str, md: MarkdownIt) -> list[Token]:
    """Return the tokens of a piece of text, with links where addresses are."""
    output: list[Token] = []
    end = 0
    for match in _URL.finditer(text):
        url = md.normalizeLink(match[0])
        if md.validateLink(url):
            output.append(Token("text", "", 0, content=text[end : match.start()]))
            output.append(Token("link_open", "a", 1, attrs={"href": url}))
            output += [Token("text", "", 0, content=match[0]), Token("link_close", "a", -1)]
            end = match.end()
    return [*output, Token("text", "", 0, content=text[end:])]


def inline_text(tokens: list[Token]) -> str:
    """Return the words of inline `tokens` without their marks."""
    return "".join(_token_text(token) for token in tokens)


def _token_text(token: Token) -> str:
    """Return what one inline token contributes to plain text."""
    if token.type in ("softbreak", "hardbreak"):
        return "\n"
    return inline_text(token.children) if token.children else token.content
