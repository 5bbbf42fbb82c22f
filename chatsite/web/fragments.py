"""Pages and fragments: the same template file serves a page, the answer to a post, and a stream."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app, redirect, render_template, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.models import Conversation, Message
from chatsite.rendering.markdown import Labels, render, render_block
from chatsite.services import conversations, generations, runners
from chatsite.services.paging import Page
from chatsite.web.access import get_message, visitor
from chatsite.web.htmx import headers


def init_app(app: Flask) -> None:
    """What templates need to render our nouns."""
    app.jinja_env.globals.update(
        dom_id=dom_id,
        markdown=lambda text: render(text, _labels()),
        markdown_block=lambda block, highlight: render_block(block, highlight, _labels()),
        client_token=lambda: secrets.token_urlsafe(16),
        can_retry=generations.can_retry,
        can_continue=generations.can_continue,
        runner=current_runner,
        text_so_far=text_so_far,
        sidebar_of=sidebar,
    )
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True


def dom_id(thing: Message | Conversation, part: str = "") -> str:
    """The id of an element: the only author of ids, in templates and in tests."""
    return "-".join(filter(None, [type(thing).__name__.lower(), thing.public_id, part]))


@dataclass(frozen=True)
class Sidebar:
    """The first page of the visitor's conversations, and which of them is open."""

    page: Page[Conversation]
    current: str | None


def sidebar(current: Conversation | None = None) -> Sidebar:
    """The sidebar with `current` open; empty for somebody who never wrote."""
    user = visitor()
    page: Page[Conversation] = conversations.page(user) if user else Page([])
    return Sidebar(page, current.public_id if current else None)


def text_so_far(message: Message) -> str:
    """The text of a message, with what a runner has written and not settled yet."""
    generation = message.generation
    if generation is None or not generation.active:
        return message.text
    return message.text + generations.written(generation.id)


def fragment(template: str, **values: Any) -> str:
    """One root element and what is in it."""
    return render_template(template, **values)


def settled(public_id: str) -> Response | str:
    """The message as it stands now, to take its own place; without htmx, the way back to its conversation.

    Raises NotFoundError.
    """
    message = get_message(public_id)
    conversation = message.conversation
    if headers().wants_fragment:
        return fragment("messages/_settled.html", message=message, conversation=conversation)
    return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)


def current_runner() -> Any:
    """The runner that matters to a visitor, or None when none is there."""
    return runners.current(current_app.config["LEASE_SECONDS"])


def _labels() -> Labels:
    return Labels(copy=gettext("Copy"), code=gettext("Code"), table=gettext("Table"))
