"""Templates of pages and fragments: one file serves a page, the response to a post, and a stream."""

from __future__ import annotations

import re
import secrets
from typing import Any

from flask import Flask, get_template_attribute, render_template, url_for
from flask_babel import get_locale
from jinja2 import StrictUndefined
from jinja2.ext import Extension
from markupsafe import Markup

from chatsite.models import Conversation, Message, Persona, Share
from chatsite.rendering.languages import guess_language
from chatsite.services.models.catalog import ModelCard
from chatsite.services.models.endpoints import EndpointCard


class StripIndentation(Extension):
    """Jinja extension that removes the indentation of templates, which is a fifth of the size of a page.

    Values passed to a template are not changed, so texts and code keep their spaces.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return the source without spaces at the beginning of lines; each line keeps its number."""
        return re.sub(r"\n[ \t]+", "\n", source)


def init_app(app: Flask) -> None:
    """Register the template globals for addresses and element ids, and the filter `lang_attr`, and configure Jinja."""
    app.jinja_env.globals.update(
        dom_id=dom_id, message_url=message_url, new_idempotency_key=lambda: secrets.token_urlsafe(16)
    )
    app.jinja_env.filters["lang_attr"] = lang_attr
    # Jinja renders an undefined name as empty text by default, which would hide the mistake.
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.add_extension(StripIndentation)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True


def register_macros(app: Flask) -> None:
    """Register the macros of `components/ui.html` as the template global `ui`, after all globals that they use.

    A template that imports these macros would create them again for each include, which took a sixth of the time of a
    page.
    """
    app.jinja_env.globals["ui"] = app.jinja_env.get_template("components/ui.html").module


def dom_id(entity: Message | Conversation | Persona | Share | ModelCard | EndpointCard, part: str = "") -> str:
    """Return the element id of an entity or of a `part` of it; templates and tests get ids only from here."""
    if isinstance(entity, ModelCard):
        # Names of models may contain dots and slashes, which have a meaning in CSS selectors.
        kind, name = "model", re.sub(r"[^a-z0-9-]", lambda match: f"_{ord(match[0]):x}_", entity.name)
    elif isinstance(entity, EndpointCard):
        kind, name = "endpoint", entity.name
    else:
        kind, name = type(entity).__name__.lower(), entity.public_id
    return "-".join(filter(None, [kind, name, part]))


def lang_attr(text: str) -> Markup:
    """Return the attribute for the language of a text; empty for that of the page, and where the text does not tell."""
    language = guess_language(text)
    return Markup(' lang="{}"').format(language) if language not in {"", str(get_locale())} else Markup()


def message_url(message: Message) -> str:
    """Return the address of a message: its conversation, on its branch, scrolled to the message."""
    conversation_id = message.conversation.public_id
    return url_for("conversations.show", public_id=conversation_id, message=message.public_id, _anchor=dom_id(message))


def render_macro(template: str, macro: str, *args: Any, **kwargs: Any) -> str:
    """Render one element with a macro of a template."""
    return str(get_template_attribute(template, macro)(*args, **kwargs))


def render_fragment(template: str, **context: Any) -> str:
    """Render a template with one root element, or a set of partials."""
    return render_template(template, **context)
