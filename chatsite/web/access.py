"""Who asks, and what is theirs. What is not theirs does not exist: the same 404 as for what nobody has."""

from __future__ import annotations

import structlog
from flask import Flask, Response, current_app, g, request, session

from chatsite.models import Conversation, Message, Share, User
from chatsite.services import accounts, conversations, messages, models, shares
from chatsite.services.generations import Limits
from chatsite.services.models import Known

COOKIE = "chatsite_visitor"
COOKIE_SECONDS = 400 * 24 * 3600
TOKEN_CHARS = 128


def init_app(app: Flask) -> None:
    """Keep the visitor's cookie fresh on writes."""
    app.after_request(_remember)


def visitor() -> User | None:
    """Who asks, or None when they never wrote anything."""
    if "visitor" not in g:
        token = request.cookies.get(COOKIE, "")
        g.visitor = accounts.find(token) if 0 < len(token) <= TOKEN_CHARS else None
        g.visitor_token = token if g.visitor else None
    return g.visitor  # type: ignore[no-any-return]


def visitor_who_writes() -> User:
    """Who asks, made a visitor now if this is their first write.

    The token comes from the signed session that their first page brought, so that a first post that is sent twice
    makes one visitor.
    """
    user = visitor()
    if user is None:
        g.visitor_token = session.setdefault("first_token", accounts.new_token())
        user = g.visitor = accounts.find_or_create(g.visitor_token)
    return user


def become(token: str) -> None:
    """Make this browser the visitor who has this token; what it had under its own comes along."""
    before, user = visitor(), accounts.find_or_create(token)
    if before is not None:
        accounts.join(before, user)
    session.pop("first_token", None)
    g.visitor, g.visitor_token = user, token


def prepare_first_write() -> None:
    """Give a visitor without an identity the token that their first write will use; nothing is stored here."""
    if visitor() is None:
        session.setdefault("first_token", accounts.new_token())


def get_conversation(public_id: str) -> Conversation:
    """The visitor's conversation of that name. Raises ConversationGoneError."""
    return conversations.get(visitor(), public_id)


def get_message(public_id: str) -> Message:
    """The message of that name in one of the visitor's conversations. Raises NotFoundError."""
    message = messages.get(visitor(), public_id)
    name_in_log(message)
    return message


def get_share(public_id: str) -> Share:
    """The share of that name if the visitor made it. Raises NotFoundError."""
    return shares.get(visitor(), public_id)


def name_in_log(message: Message) -> None:
    """Have the request's line in the log name the generation it is about, as the runner's lines do."""
    if message.generation:
        structlog.contextvars.bind_contextvars(generation=message.generation.id)


def limits() -> Limits:
    """What one visitor may, by the settings."""
    config = current_app.config
    return Limits(config["MESSAGE_CHARS"], config["QUEUE_PER_USER"], config["QUEUE_TOTAL"])


def known_models() -> Known:
    """What the settings say of models."""
    return models.known(current_app.config)


def _remember(response: Response) -> Response:
    """Set the cookie with the first write and renew it with each later one."""
    token = g.get("visitor_token")
    if token and request.method != "GET":
        response.set_cookie(
            COOKIE,
            token,
            max_age=COOKIE_SECONDS,
            secure=current_app.config["SECURE_COOKIES"],
            httponly=True,
            samesite="Lax",
        )
    return response
