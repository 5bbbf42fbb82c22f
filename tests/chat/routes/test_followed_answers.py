"""An answer that ended early and that a question follows: it is not continued, and takes new versions instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chatsite.models import Status
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids, visible_text

Answer = Callable[..., None]
STOPPED = {"text": "Half of", "status": Status.STOPPED}
FAILED = {"text": "", "status": Status.FAILED, "reason": "error"}
CUT = {"text": "Half of", "status": Status.DONE, "reason": "length"}


def show_answer(alice: WebClient, public_id: str) -> str:
    return alice.get(f"/messages/{public_id}", headers=HTMX_HEADERS).text


@pytest.mark.parametrize(
    ("end", "buttons"),
    [(STOPPED, {"Continue", "Try again"}), (FAILED, {"Try again"}), (CUT, {"Continue"})],
    ids=["stopped", "failed", "cut"],
)
def test_buttons_go_when_a_question_follows(
    alice: WebClient, finish_answers: Answer, end: dict[str, object], buttons: set[str]
) -> None:
    conversation = alice.start_conversation("One")
    finish_answers(**end)
    page = alice.get(f"/conversations/{conversation}").text
    answer_id = message_ids(page)[1]
    assert {each for each in ("Continue", "Try again") if f">{each}</button>" in page} == buttons
    assert ("regenerate-button" in page) == (end is CUT)
    alice.post_question("Two", conversation)
    finish_answers("Whole.")
    # As part of the page, alone, and in the menu.
    for html in (alice.get(f"/conversations/{conversation}").text, show_answer(alice, answer_id)):
        first = html.partition(message_ids(html)[-1])[0] if len(message_ids(html)) > 1 else html
        assert ">Continue</button>" not in first
        assert ">Try again</button>" not in first
        assert f"/messages/{answer_id}/versions" in first
    assert "Regenerate with…" in visible_text(alice.get(f"/messages/{answer_id}/actions", headers=HTMX_HEADERS).text)


def test_regenerating_makes_a_version_and_keeps_what_follows(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("One")
    finish_answers(**STOPPED)
    alice.post_question("Two", conversation)
    finish_answers("Whole.")
    ids = message_ids(alice.get(f"/conversations/{conversation}").text)
    made = alice.send_form("POST", f"/messages/{ids[1]}/versions")
    assert made.status_code == 303, visible_text(made.text)
    finish_answers("New.")
    page = alice.get(f"/conversations/{conversation}").text
    assert "2/2" in visible_text(page)
    assert "New." in page
    alice.send_form("POST", f"/messages/{ids[1]}/active-version?_method=PUT")
    assert message_ids(alice.get(f"/conversations/{conversation}").text) == ids


def test_old_page_that_still_has_the_button_is_told(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("One")
    finish_answers(**STOPPED)
    answer_id = message_ids(alice.get(f"/conversations/{conversation}").text)[1]
    alice.post_question("Two", conversation)
    finish_answers("Whole.")
    for mode in ("retry", "continue"):
        response = alice.send_form("POST", f"/messages/{answer_id}/generations", mode=mode)
        assert response.status_code == 409
    assert "Half of" in alice.get(f"/conversations/{conversation}").text
