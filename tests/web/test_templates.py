"""The house rules of templates: what compiles, what a fragment is, and what the content security policy forbids."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import StrictUndefined, nodes

from chatsite.config import ROOT
from chatsite.models import Status
from chatsite.services.tags import COLORS
from chatsite.web.assets import bare
from chatsite.web.tokens import colours, contrast
from tests.web.conftest import HTMX, Browser, message_ids

TEMPLATES = ROOT / "templates"
NAMES = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.html"))
PAGES = [
    name for name in NAMES if not Path(name).name.startswith("_") and name.split("/")[0] not in {"layouts", "macros"}
]
LONGEST = 80
# Rows of a list, or the partials of one answer, each of which says where it goes.
SETS = {
    "layouts/_look.html",
    "temporary/_over.html",
    "shares/_revoked.html",
    "shares/_changed.html",
    "conversations/_rows.html",
    "undos/_changed.html",
    "messages/_earlier.html",
    "messages/_later.html",
    "messages/_list.html",
    "messages/_tail.html",
    "versions/_branch.html",
    "imports/_now.html",
    "imports/_notes.html",
    "messages/_growth.html",
    "messages/_settled.html",
    "messages/_turn.html",
    "messages/_known.html",
    "messages/_news.html",
    "messages/_outlook.html",
    "models/_panel.html",
    "messages/_next_answerer.html",
    "conversations/_answerer_now.html",
    "conversations/_answerer_chosen.html",
    "drafts/_kept.html",
    "drafts/_weighed.html",
    "messages/_chosen.html",
    "search/_answer.html",
    "search/_more.html",
    "search/_quick.html",
    "palette/_found.html",
}
# A choice between two fragments, and words.
CHOICES = {
    "messages/_message.html",
    "messages/_note.html",
    "messages/_progress.html",
    "messages/_announcement.html",
    "receipts/_reason.html",
    "search/_count.html",
    "versions/_ask_again.html",
}
VOID = {"input", "meta", "link", "br", "hr", "img"}
TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)


class Elements(HTMLParser):
    """The start tags of a text with their depth."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((len(self.open), tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    @property
    def roots(self) -> list[str]:
        """The tags of the outermost elements."""
        return [tag for depth, tag, _ in self.found if depth == 0]


def elements(html: str) -> Elements:
    """Parse a text."""
    parser = Elements()
    parser.feed(html)
    return parser


def source(name: str) -> str:
    """The text of a template."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_template_compiles_and_stays_short(app: Flask, name: str) -> None:
    app.jinja_env.get_template(name)
    assert len(source(name).splitlines()) <= LONGEST


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_template_needs_an_exception_from_the_policy(name: str) -> None:
    for _, tag, attributes in elements(TAG.sub("x", source(name))).found:
        assert "style" not in attributes
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        for attribute, value in attributes.items():
            assert not attribute.startswith(("on", "hx-on"))
            assert not (value or "").startswith(("js:", "javascript:"))
            # A filter in a trigger is code for eval().
            assert attribute != "hx-trigger" or "[" not in (value or "")


@pytest.mark.parametrize("name", [name for name in NAMES if Path(name).name.startswith("_")])
def test_a_fragment_has_one_root_and_extends_nothing(app: Flask, name: str) -> None:
    tree = app.jinja_env.parse(source(name))
    assert not list(tree.find_all(nodes.Extends))
    roots = elements(TAG.sub("", source(name))).roots
    if name in SETS | CHOICES:
        assert not {"html", "main"} & set(roots)
    else:
        assert len(roots) == 1, roots


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_a_title_and_a_heading(name: str) -> None:
    assert "{% block title %}" in source(name)
    assert "{% block heading %}" in source(name)


def test_a_name_that_nobody_gave_is_an_error(app: Flask) -> None:
    assert app.jinja_env.undefined is StrictUndefined


def pages(alice: Browser, answer: Callable[..., None]) -> list[str]:
    """Every page and every state of an answer, as HTML."""
    conversation = alice.start("First question")
    path = f"/conversations/{conversation}"
    found = [alice.get("/").text, alice.get(path).text, alice.get("/conversations").text, alice.get("/nowhere").text]
    found += [alice.get("/models").text, alice.get("/models/gpt2").text]
    found += [alice.get(f"{path}/{part}").text for part in ("title", "actions", "tags")]
    alice.send("PUT", f"{path}/tags", text="Work")
    found += [alice.get(f"/{page}").text for page in ("archive", "trash", "tags", "library")]
    for status, reason in (
        (Status.DONE, "length"),
        (Status.FAILED, "error"),
        (Status.STOPPED, "cancelled"),
        (Status.INTERRUPTED, "lost"),
    ):
        alice.ask("Next", conversation)
        answer("Text\n\n```python\nprint(1)\n```\n", status, reason)
        found.append(alice.get(path).text)
    return found


def test_ids_are_unique_and_controls_have_names(alice: Browser, answer: Callable[..., None]) -> None:
    answer()
    for html in pages(alice, answer):
        ids = re.findall(r'\sid="([^"]+)"', html)
        assert len(ids) == len(set(ids)), sorted(name for name in ids if ids.count(name) > 1)
        for names in re.findall(r'\s(?:for|aria-describedby|form|popovertarget)="([^"]+)"', html):
            assert set(names.split()) <= set(ids)
        for button in re.findall(r"<button[^>]*>.*?</button>", html, re.DOTALL):
            assert "aria-label=" in button or re.sub(r"<[^>]*>", "", button).strip(), button
        assert html.count("<h1") == 1
        assert "<title>" in html


def test_one_message_is_the_same_on_the_page_and_in_the_answer_to_a_post(alice: Browser) -> None:
    response = alice.ask("Same", htmx=True)
    page = alice.get(response.headers["HX-Push-Url"]).text
    for name in message_ids(response.text):
        pattern = re.compile(rf'<article id="message-{name}".*?</article>', re.DOTALL)
        # Only white space and the CSRF token differ.
        shown, sent = (re.sub(r'\s+|value="[^"]*"', "", pattern.findall(html)[0]) for html in (page, response.text))
        assert shown == sent


@pytest.mark.parametrize("path", ["/conversations", "/model/status"])
def test_a_fragment_is_no_page(alice: Browser, path: str) -> None:
    assert "<html" not in alice.get(path, headers=HTMX).text


READ = [
    ("ink", "paper"),
    ("ink", "side"),
    ("ink", "tint"),
    ("ink", "token"),
    ("ink", "token-even"),
    ("soft", "paper"),
    ("soft", "side"),
    ("soft", "raised"),
    ("soft", "tint"),
    ("soft", "code-bg"),
    ("accent", "paper"),
    ("accent", "raised"),
    ("on-accent", "accent"),
    ("danger", "paper"),
    ("danger", "danger-tint"),
]


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read(dark: bool) -> None:
    known = colours(dark)
    for text, ground in READ:
        assert contrast(known[text], known[ground]) >= 4.5, (text, ground)
    for name in COLORS:
        for ground in ("paper", "side", "raised", "tint"):
            assert contrast(known[f"tag-{name}"], known[ground]) >= 4.5, (name, ground)
    assert contrast(known["edge"], known["paper"]) >= 3
    assert contrast(known["accent"], known["line"]) >= 3


def test_our_own_javascript_stays_small() -> None:
    """What a browser is sent of ours, before it is compressed."""
    sources = [*(ROOT / "static" / "js").iterdir(), *(ROOT / "static").glob("*.js")]
    assert sum(len(bare(path.read_text(encoding="utf-8")).encode()) for path in sources) <= 10_240
