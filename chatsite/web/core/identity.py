"""The current user, and access to what belongs to the user.

Things of other users do not exist here: they give the same 404 as unknown ids.
"""

from __future__ import annotations

import structlog
from flask import Flask, Response, current_app, g, request, session
from werkzeug.wrappers import Response as BaseResponse

from chatsite import cookies
from chatsite.errors import NotFoundError
from chatsite.models import AnonymousUser, Conversation, Message, Runner, Share, User, Visitor
from chatsite.services.accounts import users
from chatsite.services.chat import conversations, messages
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.models import catalog, runners
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.sharing import shares
from chatsite.services.transfer import user_merge
from chatsite.web.core.network import current_network

COOKIE_SECONDS = 400 * 24 * 3600
MAX_TOKEN_CHARS = 128
# Cookies of other sites on the same host are looked up as well, and anybody can send any number of them.
MAX_TOKENS = 20
# Begins the tokens that a site over HTTPS gives out. They count only in cookies with a name that neighboring hosts
# cannot set, so that nobody can plant an identity of their own and read what is written with it.
HOST_BOUND_MARK = "host."


def init_app(app: Flask) -> None:
    """Renew the identity cookie on each write."""
    app.after_request(_refresh_user_cookie)


def current_user() -> Visitor:
    """Return the user of the request, or an AnonymousUser if nothing was stored for the visitor yet.

    The token may be in a cookie that was set before names had a suffix, or under another secret key: the first one that
    the database knows counts. Cookies of other sites on this host are among them, but their tokens are not known here.
    """
    if "current_user" not in g:
        found = users.find_by_tokens(_tokens_of_request())
        g.current_user, g.user_token = found or (AnonymousUser(), None)
    return g.current_user  # type: ignore[no-any-return]


def _tokens_of_request() -> list[str]:
    """Return the tokens to look up, the one in the cookie of this site first."""
    tokens = [
        token
        for name, token in cookies.candidates(cookies.USER).items()
        if 0 < len(token) <= MAX_TOKEN_CHARS and (cookies.is_host_bound(name) or not _is_host_bound_token(token))
    ]
    return tokens[:MAX_TOKENS]


def _is_host_bound_token(token: str) -> bool:
    return current_app.config["SECURE_COOKIES"] and token.startswith(HOST_BOUND_MARK)


def _new_token() -> str:
    """Return the token for a new user."""
    return (HOST_BOUND_MARK if current_app.config["SECURE_COOKIES"] else "") + users.new_token()


def get_or_create_user() -> User:
    """Return the user of the request, and create the user on the first write.

    The token comes from the signed session that the first page set, so that a first post that is sent twice creates one
    user. Raises TooManyNewUsersError.
    """
    user = current_user()
    if isinstance(user, AnonymousUser):
        g.user_token = session.setdefault("first_token", _new_token())
        user = g.current_user = users.get_or_create_by_token(g.user_token, current_network())
    return user


def require_user() -> User:
    """Return the user of the request. Raises NotFoundError for an anonymous user, who owns nothing."""
    user = current_user()
    if isinstance(user, AnonymousUser):
        raise NotFoundError
    return user


def sign_in_as(token: str) -> None:
    """Sign this browser in as the user with `token`, and merge the user that it had before into that user."""
    previous_user, user = current_user(), users.get_or_create_by_token(token)
    if isinstance(previous_user, User):
        user_merge.merge_users(previous_user, user)
    session.pop("first_token", None)
    g.current_user, g.user_token = user, token


def forget_user(response: BaseResponse) -> None:
    """Delete the cookies with which this browser is known, and begin a new session.

    Cookies of other sites on this host stay: their tokens mean nobody here.
    """
    for name, token in cookies.candidates(cookies.USER).items():
        if token == g.get("user_token") or users.find_by_token(token):
            cookies.delete_cookie(response, name)
    cookies.delete_cookie(response, cookies.cookie_name(cookies.ROWS))
    session.clear()
    g.current_user, g.user_token = AnonymousUser(), None


def ensure_pending_token() -> None:
    """Put the token for the first write into the session of an anonymous user; nothing is stored in the database."""
    if isinstance(current_user(), AnonymousUser):
        session.setdefault("first_token", _new_token())


def get_conversation(public_id: str) -> Conversation:
    """Return the user's conversation with this public id. Raises ConversationNotFoundError."""
    return conversations.get(current_user(), public_id)


def get_message(public_id: str) -> Message:
    """Return the message with this public id in one of the user's conversations. Raises NotFoundError."""
    message = messages.get(current_user(), public_id)
    bind_log_context(message)
    return message


def get_share(public_id: str) -> Share:
    """Return the user's share with this public id. Raises NotFoundError."""
    return shares.get(current_user(), public_id)


def bind_log_context(message: Message) -> None:
    """Add the generation of a message to the log line of the request, as the lines of the runner have it."""
    if message.generation:
        structlog.contextvars.bind_contextvars(generation=message.generation.id)


def find_current_runner() -> Runner | None:
    """Return the runner to show to users, or None if no runner has sent a heartbeat within the lease time."""
    return runners.find_current(current_app.config["LEASE_SECONDS"])


def current_limits() -> QueueLimits:
    """Return the queue limits from the settings, with those of the network of the request."""
    config = current_app.config
    return QueueLimits(
        config["MAX_MESSAGE_CHARS"], config["MAX_QUEUED_PER_USER"], config["MAX_QUEUED"], current_network()
    )


def catalog_config() -> CatalogConfig:
    """Return the settings of the catalog."""
    return catalog.read_catalog_config(current_app.config)


def _refresh_user_cookie(response: Response) -> Response:
    """Set the identity cookie on the first write, renew it on each later one, and move one with another name.

    The one with the other name stays: an older version of the site, to which the owner may return, reads only that.
    """
    token = g.get("user_token")
    is_in_place = token == request.cookies.get(cookies.cookie_name(cookies.USER))
    if token and (request.method != "GET" or not is_in_place):
        cookies.set_cookie(response, cookies.USER, token, max_age=COOKIE_SECONDS)
    return response
