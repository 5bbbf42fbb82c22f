"""Users and visitors, identified by a private token in a cookie of their browser."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from chatsite.database import db, write_transaction
from chatsite.models import AnonymousUser, User, Visitor
from chatsite.services import networks
from chatsite.services.networks import Network

TOKEN_BYTES = 32


def new_token() -> str:
    """Return a new random token of 256 bits, as text for a cookie."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> str:
    """Return the SHA-256 of a token as 64 hexadecimal digits, which is stored instead of the token.

    The token is random, so it needs neither salt nor a slow hash.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def identify_by_token(token: str | None) -> Visitor:
    """Return the user with this token, or an AnonymousUser."""
    return find_by_token(token) or AnonymousUser()


def find_by_tokens(tokens: Sequence[str]) -> tuple[User, str] | None:
    """Return the user with the first of the tokens that the database knows, and that token; None if it knows none."""
    tokens_by_hash = {token_hash(token): token for token in reversed(tokens)}
    found = db.session.scalars(select(User).where(User.token_hash.in_(tokens_by_hash))).all() if tokens else []
    known = {tokens_by_hash[user.token_hash]: user for user in found}
    return next(((known[token], token) for token in tokens if token in known), None)


def find_by_token(token: str | None) -> User | None:
    """Return the user with this token, or None."""
    if not token:
        return None
    return db.session.scalar(select(User).where(User.token_hash == token_hash(token)))


def get_or_create_by_token(token: str, network: Network | None = None) -> User:
    """Return the user with this token; create it if this is the first write.

    Raises TooManyNewUsersError if too many users were created from `network`.
    """
    try:
        with write_transaction() as tx:
            user = find_by_token(token)
            if user is None:
                if network:
                    networks.admit_new_user(tx, network)
                user = User(token_hash=token_hash(token))
                tx.add(user)
            return user
    except IntegrityError:
        # PostgreSQL let two first writes of one visitor start at once, and the other one stored the user.
        user = find_by_token(token)
        if user is None:
            raise
        return user
