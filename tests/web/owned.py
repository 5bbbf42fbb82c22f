"""Things that belong to somebody, by the beginning of the addresses that name them.

Every route with `<public_id>` in it is called by its owner, by another user and by an outsider (`test_access.py`). A
new kind of thing needs a line in `MAKERS`, or the tests fail.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from tests.web.conftest import Browser, message_ids

# What every thing of Alice's has in it, and nobody else may read.
SECRET = "Mine alone"


def conversation(alice: Browser, answer: Callable[..., None] | None) -> str:
    """A conversation; `answer` is called where its answer is to be finished."""
    made = alice.start(SECRET)
    if answer:
        answer()
    return made


def answer_of(alice: Browser, answer: Callable[..., None] | None) -> str:
    """An answer."""
    return message_ids(alice.get(f"/conversations/{conversation(alice, answer)}").text)[-1]


def persona(alice: Browser, answer: Callable[..., None] | None) -> str:
    """A persona that somebody keeps."""
    alice.send("POST", "/personas", name=SECRET, instructions=SECRET)
    return re.findall(r'id="persona-([\w-]{16})"', alice.get("/personas").text)[0]


def trashed(alice: Browser, answer: Callable[..., None] | None) -> str:
    """A conversation that lies in the trash."""
    made = conversation(alice, answer)
    alice.send("DELETE", f"/conversations/{made}")
    return made


def tag(alice: Browser, answer: Callable[..., None] | None) -> str:
    """A tag, which marks a conversation of hers."""
    made = conversation(alice, answer)
    alice.send("PUT", f"/conversations/{made}/tags", text=SECRET)
    return re.findall(r'id="tag-([\w-]{16})"', alice.get("/tags").text)[0]


def undo(alice: Browser, answer: Callable[..., None] | None) -> str:
    """A change that can be undone."""
    made = conversation(alice, answer)
    return alice.send("POST", f"/conversations/{made}/pin").headers["Location"].rpartition("undo=")[2]


def share(alice: Browser, answer: Callable[..., None] | None) -> str:
    """A shared page that ends with her question."""
    made = conversation(alice, answer)
    question = message_ids(alice.get(f"/conversations/{made}").text)[0]
    response = alice.send("POST", f"/conversations/{made}/shares", lifetime="never", leaf=question)
    return response.headers["Location"].rpartition("#share-")[2]


def brought(alice: Browser, answer: Callable[..., None] | None) -> str:
    """An import that waits."""
    alice.get("/imports")
    files = [(io.BytesIO(SECRET.encode()), f"{SECRET}.json")]
    response = alice.client.post("/imports", data={"csrf_token": alice.token, "files": files})
    return response.headers["Location"].rpartition("/")[2]


MAKERS: dict[str, Callable[[Browser, Callable[..., None] | None], str]] = {
    "conversations": conversation,
    "imports": brought,
    "messages": answer_of,
    "shares": share,
    "tags": tag,
    "trash": trashed,
    "undos": undo,
    "personas": persona,
}


def make(rule: str, alice: Browser, answer: Callable[..., None] | None) -> str:
    """Make what a rule names, as Alice, and return its public id."""
    kind = rule.split("/")[1]
    assert kind in MAKERS, f"tests/web/owned.py does not know what {rule} names"
    return MAKERS[kind](alice, answer)
