"""Identity of this machine's terminal, and links that give it to a browser.

A link contains nothing worth stealing later: it is a signed nonce, which lies in the instance folder until the link is
used. The signature proves its age.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from itsdangerous import BadData, URLSafeTimedSerializer

from chatsite.config import load_or_create_secret
from chatsite.errors import LinkExpiredError

LINK_SECONDS = 600
PURPOSE = "terminal-link"


def terminal_token(instance: Path) -> str:
    """Return the user token of the terminal; create it at first use, in a file that only its owner can read."""
    return load_or_create_secret(instance / "terminal_token")


def create(instance: Path, secret_key: str) -> str:
    """Return a new link token, signed with `secret_key`; the one before becomes invalid."""
    nonce = secrets.token_hex(16)
    temporary_path = instance / f".terminal_link-{os.getpid()}"
    temporary_path.write_text(nonce)
    temporary_path.replace(instance / "terminal_link")
    return str(_link_serializer(secret_key).dumps(nonce))


def validate(instance: Path, secret_key: str, link: str) -> None:
    """Check that a link is valid and unused. Raises LinkExpiredError."""
    stored_nonce = ""
    with contextlib.suppress(OSError):
        stored_nonce = (instance / "terminal_link").read_text()
    try:
        nonce = str(_link_serializer(secret_key).loads(link, max_age=LINK_SECONDS))
    except BadData:
        raise LinkExpiredError from None
    if not stored_nonce or not secrets.compare_digest(nonce.encode(), stored_nonce.encode()):
        raise LinkExpiredError


@contextlib.contextmanager
def redeemed(instance: Path, secret_key: str, link: str) -> Iterator[str]:
    """Use a link for what the `with` block does with the terminal's user token; the link stays valid if that fails.

    Raises LinkExpiredError if the link is invalid or used; of two simultaneous uses, one fails.
    """
    validate(instance, secret_key, link)
    stored, claimed = instance / "terminal_link", instance / f".terminal_link-{secrets.token_hex(8)}"
    try:
        stored.rename(claimed)
    except FileNotFoundError:
        raise LinkExpiredError from None
    try:
        yield terminal_token(instance)
    except BaseException:
        # A link, unlike a renaming, does not replace a newer link of the terminal.
        with contextlib.suppress(FileExistsError):
            os.link(claimed, stored)
        raise
    finally:
        claimed.unlink()


def _link_serializer(secret_key: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_key, salt=PURPOSE)
