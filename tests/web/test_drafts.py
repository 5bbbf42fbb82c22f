"""What is being typed: saved by the page, shown again, and gone once it is sent."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from flask import Flask

from tests.web.conftest import Browser
from tests.web.test_access import snapshot, users

Answer = Callable[..., None]


def typed(page: str) -> str:
    """What stands in the box, as a browser reads it: without the first line end."""
    found = re.search(r'<textarea id="text".*?>(.*?)</textarea>', page, re.DOTALL)
    assert found
    text = html.unescape(found.group(1))
    return text[1:] if text.startswith("\n") else text


def known(page: str) -> str:
    """The edition that a page believes to be kept."""
    return re.findall(r'id="known" type="hidden" name="known" value="([^"]*)"', page)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("text", ["Half a quest", "\n\n </textarea><b>x", "x" * 8001, "a\x07b\u202ec \U0001f600"])
def test_a_draft_is_there_again_wherever_one_looks(alice: Browser, answer: Answer, text: str) -> None:
    path = f"/conversations/{alice.start('Hello')}"
    answer()
    saved = alice.send("PUT", f"{path}/draft", htmx=True, text=text)
    assert saved.status_code == 200
    page = alice.get(path).text
    assert typed(page) == text
    assert known(page) == known(saved.text)
    assert known(page)
    assert typed(alice.get("/").text) == ""
    alice.send("PUT", "/draft", htmx=True, text=f"{text} of another")
    assert typed(alice.get("/").text) == f"{text} of another"
    assert typed(alice.get("/?text=A+starter").text) == "A starter"


def test_it_is_gone_once_it_is_sent_and_stays_when_that_fails(alice: Browser, answer: Answer) -> None:
    path = f"/conversations/{alice.start('Hello')}"
    alice.send("PUT", f"{path}/draft", htmx=True, text="More")
    assert alice.ask("More", path.rpartition("/")[2]).status_code == 409
    assert typed(alice.get(path).text) == "More"
    answer()
    alice.ask("More", path.rpartition("/")[2])
    page = alice.get(path).text
    assert (typed(page), known(page)) == ("", "")
    alice.send("PUT", "/draft", htmx=True, text="A new one")
    alice.ask("A new one")
    assert typed(alice.get("/").text) == ""


def test_an_older_page_does_not_erase_it(alice: Browser) -> None:
    path = f"/conversations/{alice.start('Hello')}"
    older = known(alice.get(path).text)
    alice.send("PUT", f"{path}/draft", htmx=True, text="Typed elsewhere")
    alice.send("PUT", f"{path}/draft", htmx=True, text="", known=older)
    assert typed(alice.get(path).text) == "Typed elsewhere"


def test_a_question_from_an_older_page_leaves_it(alice: Browser, answer: Answer) -> None:
    path = f"/conversations/{alice.start('Hello')}"
    answer()
    older = known(alice.get(path).text)
    saved = known(alice.send("PUT", f"{path}/draft", htmx=True, text="Typed elsewhere").text)
    form = {"text": "Another question", "conversation": path.rpartition("/")[2]}
    # The empty edition is that of a page that had nothing in its box.
    assert older == ""
    alice.send("POST", "/messages", **form, token="t1", known=older)
    assert typed(alice.get(path).text) == "Typed elsewhere"
    answer()
    alice.send("POST", "/messages", **form, token="t2", known=saved)
    assert typed(alice.get(path).text) == ""


def test_for_a_visitor_who_never_wrote_nothing_is_stored(app: Flask, alice: Browser) -> None:
    alice.get("/")
    assert alice.send("PUT", "/draft", htmx=True, text="Hello").status_code == 204
    assert not any(snapshot(app))
    assert users(app) == []


def test_what_one_types_is_ones_own(alice: Browser, bob: Browser) -> None:
    path = f"/conversations/{alice.start('Hello')}"
    alice.send("PUT", "/draft", htmx=True, text="Mine alone")
    assert bob.send("PUT", f"{path}/draft", htmx=True, text="Stolen").status_code == 404
    bob.send("PUT", "/draft", htmx=True, text="Bob's")
    assert typed(alice.get("/").text) == "Mine alone"
    assert typed(bob.get("/").text) == "Bob's"


def test_what_is_too_long_is_said(alice: Browser) -> None:
    path = f"/conversations/{alice.start('Hello')}"
    refused = alice.send("PUT", f"{path}/draft", htmx=True, text="x" * 16_001)
    assert refused.status_code == 422
    assert "so long a draft is not kept" in refused.text
    assert refused.headers["HX-Retarget"] == "#unkept"
    # What is too large to be read at all gets the same answer, and what is kept again takes it away.
    refused = alice.send("PUT", f"{path}/draft", htmx=True, text="x" * 200_000)
    assert refused.status_code == 422
    assert "so long a draft is not kept" in refused.text
    kept = alice.send("PUT", f"{path}/draft", htmx=True, text="x")
    assert '<hx-partial hx-target="#unkept" hx-swap="innerHTML"></hx-partial>' in kept.text


def test_it_is_not_logged(app: Flask, alice: Browser, capfd: pytest.CaptureFixture[str]) -> None:
    path = f"/conversations/{alice.start('Hello')}"
    alice.send("PUT", f"{path}/draft", htmx=True, text="sotto voce")
    said = capfd.readouterr()
    assert "sotto" not in said.out + said.err
