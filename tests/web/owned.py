"""Things that belong to somebody, by the beginning of the addresses that name them.

Every route with `<public_id>` in it is called by its owner, by another user and by an outsider (`test_access.py`). A
new kind of thing needs a line in `MAKERS`, or the tests fail.
"""

from __future__ import annotations

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


MAKERS: dict[str, Callable[[Browser, Callable[..., None] | None], str]] = {
    "conversations": conversation,
    "messages": answer_of,
}


def make(rule: str, alice: Browser, answer: Callable[..., None] | None) -> str:
    """Make what a rule names, as Alice, and return its public id."""
    kind = rule.split("/")[1]
    assert kind in MAKERS, f"tests/web/owned.py does not know what {rule} names"
    return MAKERS[kind](alice, answer)
