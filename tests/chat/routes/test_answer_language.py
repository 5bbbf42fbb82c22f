"""Answers in another language than the page say so, for the voices of screen readers."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.support.web_fixtures import WebClient

SPANISH = "El arcoíris se forma cuando la luz del sol entra en las gotas de agua y cada color sale con otro ángulo."
ENGLISH = "Rainbows form when sunlight meets drops of water in the air. The light is bent, and each color leaves it."


def languages(page: str) -> list[str]:
    """The languages that the answers of a page name; an empty one where there is none."""
    # Behind them is the template of an answer that is waited for.
    return re.findall(r'<div class="prose"(?: lang="(\w+)")?', page.partition("<template")[0])


def test_answers_name_another_language_than_the_page(
    alice: WebClient, new_client: Callable[[], WebClient], finish_answers: Callable[..., None]
) -> None:
    conversation = alice.start_conversation("One")
    finish_answers(SPANISH)
    for text in (ENGLISH, "Je ne sais pas, mais les deux sont dans la maison."):
        alice.post_question("Next", conversation)
        finish_answers(text)
    path = f"/conversations/{conversation}"
    assert languages(alice.get(path).text) == ["es", "", ""]
    assert languages(alice.get(path, headers={"Accept-Language": "es"}).text) == ["", "en", ""]
    alice.send_form("POST", f"{path}/shares", lifetime="never")
    (share,) = set(re.findall(r"/shared/([\w-]+)", alice.get("/shares").text))
    assert languages(new_client().get(f"/shared/{share}").text) == ["es", "", ""]
