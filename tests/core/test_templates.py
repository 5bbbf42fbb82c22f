"""The house rules of templates: what compiles, what a fragment is, and what the content security policy forbids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import Environment, StrictUndefined, nodes

from benchmarks.support import seed_data
from chatsite.database import db
from chatsite.devtools.design_tokens import contrast_ratio, read_colors
from chatsite.models import Status
from chatsite.services.organize.tags import COLORS
from chatsite.settings import ROOT
from chatsite.web.core.assets import ON_DEMAND, build_bundle, strip_comments
from tests.conftest import close_app, make_app
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids

TEMPLATES = ROOT / "templates"
NAMES = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.html"))
FRAGMENTS = [name for name in NAMES if Path(name).name.startswith("_") or name.endswith(".partials.html")]
PAGES = [name for name in NAMES if name not in FRAGMENTS and name.split("/")[0] not in {"layouts", "components"}]
LONGEST = 80
# Rows of a list, and what has no root; partials of an answer, each of which says where it goes, are called so.
SETS = {
    "layouts/_head.html",
    "conversations/_rows.html",
    "messages/_list.html",
    "imports/_results.html",
}
# A choice between two fragments, and words.
CHOICES = {
    "messages/_message.html",
    "messages/_question_text.html",
    "messages/_status_note.html",
    "messages/_status.html",
    "search/_count.html",
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


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """What templates are compiled in, for all of them; one site is enough for that."""
    made = make_app(tmp_path_factory.mktemp("templates"), STYLEGUIDE=True)
    yield made.jinja_env
    close_app(made)


@pytest.mark.parametrize("name", NAMES)
def test_every_template_compiles_within_line_limit(environment: Environment, name: str) -> None:
    environment.get_template(name)
    assert len(source(name).splitlines()) <= LONGEST


@pytest.mark.parametrize("name", NAMES)
def test_templates_comply_with_content_security_policy(name: str) -> None:
    for _, tag, attributes in elements(TAG.sub("x", source(name))).found:
        assert "style" not in attributes
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        for attribute, value in attributes.items():
            assert not attribute.startswith(("on", "hx-on"))
            assert not (value or "").startswith(("js:", "javascript:"))
            # A filter in a trigger is code for eval().
            assert attribute != "hx-trigger" or "[" not in (value or "")


@pytest.mark.parametrize("name", FRAGMENTS)
def test_partial_has_single_root_and_no_extends(environment: Environment, name: str) -> None:
    tree = environment.parse(source(name))
    assert not list(tree.find_all(nodes.Extends))
    roots = elements(TAG.sub("", source(name))).roots
    if name.endswith(".partials.html") or name in SETS | CHOICES:
        assert not {"html", "main"} & set(roots)
    else:
        assert len(roots) == 1, roots


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_a_title_and_a_heading(name: str) -> None:
    assert "{% block title %}" in source(name)
    assert "{% block heading %}" in source(name)


def test_undefined_template_variable_raises_error(app: Flask) -> None:
    assert app.jinja_env.undefined is StrictUndefined


def pages(alice: WebClient, answer: Callable[..., None]) -> list[str]:
    """Every page and every state of an answer, as HTML."""
    conversation = alice.start_conversation("First question")
    path = f"/conversations/{conversation}"
    found = [alice.get("/").text, alice.get(path).text, alice.get("/conversations").text, alice.get("/nowhere").text]
    found += [alice.get("/models").text, alice.get("/models/gpt2").text]
    found += [alice.get(f"{path}/{part}").text for part in ("title", "actions", "tags")]
    alice.send_form("PUT", f"{path}/tags", text="Work")
    found += [alice.get(f"/{page}").text for page in ("archive", "trash", "tags", "overview")]
    for status, reason in (
        (Status.DONE, "length"),
        (Status.FAILED, "error"),
        (Status.STOPPED, "cancelled"),
        (Status.INTERRUPTED, "lost"),
    ):
        alice.post_question("Next", conversation)
        answer("Text\n\n```python\nprint(1)\n```\n", status, reason)
        found.append(alice.get(path).text)
    return found


def test_ids_are_unique_and_controls_are_labeled(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    finish_answers()
    for html in pages(alice, finish_answers):
        ids = re.findall(r'\sid="([^"]+)"', html)
        assert len(ids) == len(set(ids)), sorted(name for name in ids if ids.count(name) > 1)
        for names in re.findall(r'\s(?:for|aria-describedby|form|popovertarget)="([^"]+)"', html):
            assert set(names.split()) <= set(ids)
        for button in re.findall(r"<button[^>]*>.*?</button>", html, re.DOTALL):
            assert "aria-label=" in button or re.sub(r"<[^>]*>", "", button).strip(), button
        assert html.count("<h1") == 1
        assert "<title>" in html


def test_message_markup_matches_between_page_and_htmx_response(alice: WebClient) -> None:
    response = alice.post_question("Same", htmx=True)
    page = alice.get(response.headers["HX-Push-Url"]).text
    for name in message_ids(response.text):
        pattern = re.compile(rf'<article id="message-{name}".*?</article>', re.DOTALL)
        # Only white space and the CSRF token differ.
        shown, sent = (re.sub(r'\s+|value="[^"]*"', "", pattern.findall(html)[0]) for html in (page, response.text))
        assert shown == sent


@pytest.mark.parametrize("path", ["/conversations", "/model-status"])
def test_htmx_request_gets_fragment_without_html_element(alice: WebClient, path: str) -> None:
    assert "<html" not in alice.get(path, headers=HTMX_HEADERS).text


READ = [
    ("text-1", "surface"),
    ("text-1", "surface-2"),
    ("text-1", "tint"),
    ("text-1", "token"),
    ("text-1", "token-even"),
    ("text-2", "surface"),
    ("text-2", "surface-2"),
    ("text-2", "surface-raised"),
    ("text-2", "tint"),
    ("text-2", "code-bg"),
    ("accent", "surface"),
    ("accent", "surface-raised"),
    ("on-accent", "accent"),
    ("danger", "surface"),
    ("danger", "danger-tint"),
    ("warning", "surface"),
    ("warning", "surface-2"),
]


@pytest.mark.parametrize("dark", [False, True])
def test_color_contrast_meets_wcag(dark: bool) -> None:
    known = read_colors(dark)
    for text, ground in READ:
        assert contrast_ratio(known[text], known[ground]) >= 4.5, (text, ground)
    for name in COLORS:
        for ground in ("surface", "surface-2", "surface-raised", "tint"):
            assert contrast_ratio(known[f"tag-{name}"], known[ground]) >= 4.5, (name, ground)
    assert contrast_ratio(known["border"], known["surface"]) >= 3
    assert contrast_ratio(known["accent"], known["line"]) >= 3


def test_javascript_stays_within_size_budget() -> None:
    """What a browser is sent of ours with a page, and for one thing that is done there, before it is compressed."""
    static = ROOT / "static"
    # Names are as long as those that are served.
    bundle = build_bundle(static, "app.js", lambda name: name.removesuffix(".js") + ".12345678.js")
    first_load = [bundle, strip_comments((static / "sw.js").read_text(encoding="utf-8"))]
    assert 'lazy("clipboard.12345678")' in bundle
    assert sum(len(text.encode()) for text in first_load) <= 20_480
    for path in (static / "js" / ON_DEMAND).iterdir():
        assert len(strip_comments(path.read_text(encoding="utf-8")).encode()) <= 8_192, path.name


@pytest.mark.parametrize(
    ("answer", "most_of_page", "most_of_column"),
    [("word " * 100, 75, 56), (seed_data.RICH_ANSWER_TEXT, 105, 86)],
    ids=["text", "code and tables"],
)
def test_html_of_sixty_messages_stays_within_size_budget(
    app: Flask, alice: WebClient, answer: str, most_of_page: int, most_of_column: int
) -> None:
    """What repeats is said once: thirty questions with their answers, and thirty conversations in the list.

    The column alone is what comes when somebody goes to the conversation from another page.
    """
    with app.app_context():
        stored = seed_data.create_visitor(30, 30, answer)
        db.session.remove()
    alice.client.set_cookie("chatsite_visitor", stored.token)
    address = f"/conversations/{stored.conversation_id}"
    for target, most_kilobytes in (("", most_of_page), ("div#page", most_of_column)):
        html = alice.get(address, headers={**HTMX_HEADERS, "HX-Target": target} if target else {}).text
        assert len(message_ids(html)) == 60
        assert len(html.encode()) <= most_kilobytes * 1024
