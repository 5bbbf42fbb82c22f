"""The identity of this machine's terminal, and the links that give it to a browser.

A link says nothing that is worth stealing later: it names a number that lies in the instance folder until the link
is used, and it is signed, so that its age can be trusted.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from itsdangerous import BadData, URLSafeTimedSerializer

from chatsite.config import kept_secret
from chatsite.errors import LinkSpentError

LINK_SECONDS = 600
PURPOSE = "terminal-link"


def terminal_token(instance: Path) -> str:
    """The visitor's token of the terminal, made the first time and kept where only its owner reads it."""
    return kept_secret(instance / "terminal_token")


def create(instance: Path, key: str) -> str:
    """A new link, signed with `key`; the one before it is void."""
    number = secrets.token_hex(16)
    draft = instance / f".terminal_link-{os.getpid()}"
    draft.write_text(number)
    draft.replace(instance / "terminal_link")
    return str(_signer(key).dumps(number))


def check(instance: Path, key: str, link: str) -> None:
    """Do nothing if the link would be good. Raises LinkSpentError."""
    waiting = ""
    with contextlib.suppress(OSError):
        waiting = (instance / "terminal_link").read_text()
    try:
        number = str(_signer(key).loads(link, max_age=LINK_SECONDS))
    except BadData:
        raise LinkSpentError from None
    if not waiting or not secrets.compare_digest(number.encode(), waiting.encode()):
        raise LinkSpentError


def use(instance: Path, key: str, link: str) -> str:
    """Use the link up; returns the terminal's token. Raises LinkSpentError, and for all but one of two at once."""
    check(instance, key, link)
    try:
        (instance / "terminal_link").unlink()
    except FileNotFoundError:
        raise LinkSpentError from None
    return terminal_token(instance)


def _signer(key: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(key, salt=PURPOSE)
