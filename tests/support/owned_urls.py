"""Makers of everything that a user can own, by the first part of its address.

`test_access.py` requests every route with `<public_id>` as its owner, as another user and as an anonymous user. Each
new kind needs a line in `OWNED_MAKERS`, or the tests fail.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from tests.support.web_fixtures import WebClient, message_ids

# Everything of Alice contains this text, which no other user may read.
SECRET_TEXT = "Mine alone"


def create_conversation(alice: WebClient, finish_answers: Callable[..., None] | None) -> str:
    """Create a conversation with a waiting message, and return its public id.

    Finish its answer if `finish_answers` is given.
    """
    conversation_id = alice.start_conversation(SECRET_TEXT)
    alice.post_question(SECRET_TEXT, conversation_id)
    if finish_answers:
        finish_answers()
    return conversation_id


def create_answer(alice: WebClient, finish_answers: Callable[..., None] | None) -> str:
    """Create an answer, and return its public id."""
    return message_ids(alice.get(f"/conversations/{create_conversation(alice, finish_answers)}").text)[-1]


def create_persona(alice: WebClient, finish_answers: Callable[..., None] | None) -> str:
    """Create a persona, and return its public id."""
    alice.send_form("POST", "/personas", name=SECRET_TEXT, instructions=SECRET_TEXT)
    return re.findall(r'id="persona-([\w-]{16})"', alice.get("/personas").text)[0]


def create_trashed(alice: WebClient, finish_answers: Callable[..., None] | None) -> str:
    """Create a conversation in the trash, and return its public id."""
    conversation_id = create_conversation(alice, finish_answers)
    alice.send_form("DELETE", f"/conversations/{conversation_id}")
    return conversation_id


def create_tag(alice: WebClient, finish_answers: Callable[..., None] | None) -> str:
    """Create a tag of a conversation, and return its public id."""
    conversation_id = create_conversation(alice, finish_answers)
    alice.send_form("PUT", f"/conversations/{conversation_id}/tags", text=SECRET_TEXT)
    return re.findall(r'id="tag-([\w-]{16})"', alice.get("/tags").text)[0]


def create_undo(alice: WebClient, finish_answers: Callable[..., None] | None) -> str:
    """Create a change that can be undone, and return the public id of its undo record."""
    conversation_id = create_conversation(alice, finish_answers)
    return alice.send_form("POST", f"/conversations/{conversation_id}/pin").headers["Location"].rpartition("undo=")[2]


def create_share(alice: WebClient, finish_answers: Callable[..., None] | None) -> str:
    """Create a share that ends with a question, and return its public id."""
    conversation_id = create_conversation(alice, finish_answers)
    question = message_ids(alice.get(f"/conversations/{conversation_id}").text)[0]
    response = alice.send_form("POST", f"/conversations/{conversation_id}/shares", lifetime="never", leaf=question)
    return response.headers["Location"].rpartition("#share-")[2]


def create_import(alice: WebClient, finish_answers: Callable[..., None] | None) -> str:
    """Create a queued import, and return its public id."""
    alice.get("/imports")
    files = [(io.BytesIO(SECRET_TEXT.encode()), f"{SECRET_TEXT}.json")]
    response = alice.client.post("/imports", data={"csrf_token": alice.csrf_token, "files": files})
    return response.headers["Location"].rpartition("/")[2]


OWNED_MAKERS: dict[str, Callable[[WebClient, Callable[..., None] | None], str]] = {
    "conversations": create_conversation,
    "imports": create_import,
    "messages": create_answer,
    "shares": create_share,
    "tags": create_tag,
    "trash": create_trashed,
    "undos": create_undo,
    "personas": create_persona,
}


def create_owned(rule: str, alice: WebClient, finish_answers: Callable[..., None] | None) -> str:
    """Create what `rule` addresses, as Alice, and return its public id."""
    kind = rule.split("/")[1]
    assert kind in OWNED_MAKERS, f"tests/support/owned_urls.py does not know what {rule} names"
    return OWNED_MAKERS[kind](alice, finish_answers)
