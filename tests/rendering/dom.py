"""Reads HTML as a browser would find it, to the extent that the tests need it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID_TAGS = {"br", "hr", "img", "input", "meta", "link", "base", "embed", "source"}


@dataclass
class Element:
    """A tag with its attributes and what is in it."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(item if isinstance(item, str) else item.text for item in self.children)

    def iter_elements(self) -> Iterator[Element]:
        """Give all elements within, in the order of their beginnings."""
        for item in self.children:
            if isinstance(item, Element):
                yield item
                yield from item.iter_elements()

    def find_all(self, tag: str) -> list[Element]:
        return [element for element in self.iter_elements() if element.tag == tag]


class _TreeBuilder(HTMLParser):
    """Builds a tree and insists that each end tag ends the innermost element."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open_elements = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"<{tag}> has an attribute twice"
        element = Element(tag, dict(attrs))
        self.open_elements[-1].children.append(element)
        if tag not in VOID_TAGS:
            self.open_elements.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_elements.pop().tag == tag, f"</{tag}> ends something else"

    def handle_data(self, data: str) -> None:
        self.open_elements[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("a processing instruction")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError("an unknown declaration")


def parse_html(html: str) -> Element:
    """Give the root of well-formed `html`; anything else fails the test."""
    reader = _TreeBuilder()
    reader.feed(html)
    reader.close()
    assert len(reader.open_elements) == 1, f"<{reader.open_elements[-1].tag}> has no end"
    return reader.open_elements[0]
