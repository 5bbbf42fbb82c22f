"""A message that waits: on the page, in other tabs, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable

from flask import Flask

from chatsite.database import db
from chatsite.models import Status
from chatsite.services.chat import waiting_messages
from chatsite.services.chat.generation_leases import ClaimedGeneration
from tests.conftest import LIMITS
from tests.support.web_fixtures import WebClient, iter_stream_events, message_ids, visible_text

Finish = Callable[..., None]
SENDS_LATER = "Sends when this answer is done"


def region(html: str) -> str:
    """What stands below the last message; empty if that is nothing."""
    found = re.search(r'<div id="waiting".*?(?=<form id="action-form|</hx-partial>)', html, re.DOTALL)
    assert found
    return found.group()


def post_due(app: Flask) -> None:
    with app.app_context():
        waiting_messages.post_due(LIMITS)
        db.session.remove()


def test_message_waits_and_is_posted(app: Flask, alice: WebClient, finish_answers: Finish) -> None:
    conversation = alice.start_conversation("One")
    path = f"/conversations/{conversation}"
    answer = message_ids(alice.get(path).text)[-1]
    posted = alice.send_form("POST", "/messages", True, text="Two <b>", conversation=conversation, parent=answer)
    assert posted.status_code == 200
    assert "Two &lt;b&gt;" in region(posted.text)
    assert SENDS_LATER in region(posted.text)
    assert "Your message is sent when this answer is done." in posted.text
    # The form of the page is a new one, below the same answer.
    assert f'name="parent" value="{answer}"' in posted.text
    assert message_ids(posted.text) == []
    page = alice.get(path).text
    assert "Two &lt;b&gt;" in region(page)
    # Another tab asks what is new.
    assert "Two &lt;b&gt;" in region(alice.get(f"{path}?parent={answer}", headers={"HX-Request": "true"}).text)
    finish_answers()
    page = alice.get(path).text
    assert "Sending…" in region(page)
    # Without JavaScript the page looks again.
    assert 'http-equiv="refresh"' in page
    post_due(app)
    page = alice.get(path).text
    assert "hidden" in region(page)
    assert len(message_ids(page)) == 4
    # The page that waited brings its list of questions up to date, too.
    news = alice.get(f"{path}?parent={answer}", headers={"HX-Request": "true"}).text
    assert len(message_ids(news)) == 3
    assert 'hx-target="#outline > ol"' in news


def test_forms_without_javascript(alice: WebClient) -> None:
    conversation = alice.start_conversation("One")
    path = f"/conversations/{conversation}"

    def press(text: str, to: str = "") -> str:
        """Press the button with a name as a browser does."""
        html = region(alice.get(path).text)
        button = re.search(rf'<button[^>]*formaction="([^"]+)"[^>]*>\s*{text}', html) or re.search(
            rf'<button[^>]*formaction="([^"]+)"[^>]*aria-label="{text}', html
        )
        assert button, html
        response = alice.send_form("POST", button.group(1), to=to)
        assert response.status_code == 303
        assert response.headers["Location"] == path
        return alice.get(path).text

    assert alice.post_question("Two", conversation).status_code == 303
    page = press("Edit", to="draft")
    assert ">Two</textarea>" in page
    assert "Two" not in region(page)
    alice.post_question("Three", conversation)
    assert "Three" not in region(press("Remove the waiting message"))
    alice.post_question("Four", conversation)
    page = press("Send now")
    assert "You stopped this answer." in page
    assert len(message_ids(page)) == 4
    assert "Four" in visible_text(page)


def test_actions_say_what_is_there_now(alice: WebClient, finish_answers: Finish) -> None:
    conversation = alice.start_conversation("One")
    url = f"/conversations/{conversation}/waiting-message"
    alice.post_question("Two\n</p>", conversation)
    edited = alice.send_form("DELETE", url, htmx=True, to="draft").text
    assert '<p id="returned" hidden>Two\n&lt;/p&gt;</p>' in edited
    alice.post_question("Three", conversation)
    finish_answers("Part", Status.STOPPED)
    assert "Not sent, because the answer was not finished" in region(alice.get(f"/conversations/{conversation}").text)
    sent = alice.send_form("POST", url, htmx=True).text
    assert "Three" not in region(sent)
    # The page asks for what it does not have, also when it was posted meanwhile.
    for html in (sent, alice.send_form("POST", url, htmx=True).text):
        assert f'hx-get="/conversations/{conversation}"' in region(html)


def test_refusal_is_said(app: Flask, alice: WebClient, finish_answers: Finish) -> None:
    conversation = alice.start_conversation("One")
    alice.post_question("Two", conversation)
    finish_answers()
    app.config["MAX_QUEUED_PER_USER"] = 0
    refused = alice.send_form("POST", f"/conversations/{conversation}/waiting-message", htmx=True)
    assert refused.status_code == 503
    assert "waiting-message" not in refused.text
    assert "Two" in region(alice.get(f"/conversations/{conversation}").text)


def test_stream_tells_of_waiting_message(
    app: Flask, alice: WebClient, claim_next: Callable[[], ClaimedGeneration], write_answer: Callable[..., None]
) -> None:
    conversation = alice.start_conversation("One")
    answer = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    work = claim_next()
    write_answer(work, "Some ")
    alice.post_question("Two", conversation)
    events = iter_stream_events(alice, answer)
    assert SENDS_LATER in region(next(events))
    write_answer(work, "text.", Status.DONE)
    post_due(app)
    final = list(events)[-2]
    # What was posted is not in the stream of this answer: the page asks for it.
    assert "Two" not in final
    assert f'hx-get="/conversations/{conversation}"' in region(final)


def test_it_is_neither_exported_nor_shared(alice: WebClient, finish_answers: Finish) -> None:
    conversation = alice.start_conversation("One")
    path = f"/conversations/{conversation}"
    finish_answers()
    alice.post_question("Two", conversation)
    alice.post_question("Not said yet", conversation)
    assert "Not said yet" in alice.get(path).text
    assert "Not said yet" not in alice.get(f"{path}/export.json").text
    assert "Not said yet" not in alice.get(f"{path}/print").text
    leaf = message_ids(alice.get(path).text)[1]
    share = alice.send_form("POST", f"{path}/shares", lifetime="never", leaf=leaf)
    assert share.status_code == 303
    assert "Not said yet" not in alice.get(share.headers["Location"]).text
