"""The style guide: every design token and component, rendered with the templates of the pages.

It is available in debug mode and with the setting STYLEGUIDE. Its own prose is English only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, current_app, render_template
from markupsafe import Markup

from chatsite.devtools import design_tokens
from chatsite.errors import NotFoundError
from chatsite.models import Conversation
from chatsite.services.chat import conversations, message_pages
from chatsite.services.models import catalog
from chatsite.services.organize import tags
from chatsite.settings import ROOT
from chatsite.web.chat.composer_views import ComposerView, build_new_composer
from chatsite.web.chat.message_views import MessageView, build_message_views
from chatsite.web.chat.welcome_views import WelcomeView, build_welcome
from chatsite.web.core.identity import catalog_config, current_user
from chatsite.web.core.page_view import PageView, load_sidebar
from chatsite.web.models.views import ModelView, build_model_view

bp = Blueprint("styleguide", __name__)

# The tag of the conversations that `chatsite demo --states` creates.
STATES_TAG = "states"
# Every model fits, so that all cards show their Download button.
SHOWN_FREE_BYTES = 10**11
SPRITE_ICON = re.compile(r'<symbol id="([a-z-]+)"')
# Inert copies send no requests, submit nothing and take no focus.
FORM_TAG = re.compile(r"<(/?)form\b")
LABELED_REGION = re.compile(r'(<(?:section|nav|aside|pre)\b[^>]*\saria-label=")([^"]+)"')
ACTIVE_ATTRIBUTES = re.compile(r'\s(?:hx-[\w:-]+|action|formaction|method|autofocus)(?:="[^"]*"|=\'[^\']*\')?(?=[\s>])')
NAMING_ATTRIBUTES = re.compile(
    r'\s(id|for|aria-labelledby|aria-describedby|aria-controls|popovertarget|form|list|name)="([^"]+)"'
)


@dataclass(frozen=True)
class ShownState:
    """A conversation that shows a state, with its last question and answer."""

    conversation: Conversation
    messages: Sequence[MessageView]


@dataclass(frozen=True, kw_only=True)
class StyleguidePage(PageView):
    """Everything that the style guide shows."""

    colors: Sequence[design_tokens.Color]
    dimensions: Mapping[str, Mapping[str, str]]
    icons: Sequence[str]
    states: Sequence[ShownState]
    models: Sequence[ModelView]
    welcome: WelcomeView
    empty_composer: ComposerView
    written_composer: ComposerView
    busy_composer: ComposerView | None
    tag_colors: Sequence[str] = tags.COLORS


def init_app(app: Flask) -> None:
    """Add the style guide to the site."""
    app.jinja_env.filters["inert"] = make_inert
    app.register_blueprint(bp)


@bp.get("/styleguide")
def show() -> str:
    """Show the style guide. Raises NotFoundError if it is not enabled."""
    _require_enabled()
    states = _list_states()
    active_answer = next(
        (state.messages[-1].message for state in states if state.messages and state.messages[-1].status), None
    )
    cards = catalog.list_cards(catalog_config())
    shown_cards = [card for card in cards if card.is_default or card.is_downloading or card.has_failed]
    view = StyleguidePage(
        colors=design_tokens.list_colors(),
        dimensions=design_tokens.read_dimensions(),
        icons=SPRITE_ICON.findall((ROOT / "static" / "icons" / "icons.svg").read_text(encoding="utf-8")),
        states=states,
        welcome=build_welcome(),
        empty_composer=build_new_composer(),
        written_composer=build_new_composer("Plan a walk\nin the mountains"),
        busy_composer=build_new_composer(active_answer=active_answer) if active_answer else None,
        models=[build_model_view(card, SHOWN_FREE_BYTES) for card in shown_cards],
        parent=None,
        sidebar=load_sidebar(),
    )
    return render_template("styleguide/show.html", view=view)


@bp.get("/styleguide.css")
def token_classes() -> Response:
    """Return the style sheet with a class for each token. Raises NotFoundError if the style guide is not enabled."""
    _require_enabled()
    return Response(design_tokens.build_stylesheet(), mimetype="text/css")


def make_inert(html: str, name: str) -> Markup:
    """Copy markup for display beside the original: nothing in the copy acts, and all its ids end with `name`."""
    # `str`, because a replacement in `Markup` would be escaped.
    without_actions = ACTIVE_ATTRIBUTES.sub("", FORM_TAG.sub(r"<\1div", str(html)))
    with_unique_labels = LABELED_REGION.sub(lambda match: f'{match[1]}{match[2]}, {name}"', without_actions)
    with_unique_names = NAMING_ATTRIBUTES.sub(
        lambda match: f' {match[1]}="{" ".join(f"{name_part}-{name}" for name_part in match[2].split())}"',
        with_unique_labels,
    )
    return Markup(with_unique_names)  # noqa: S704 It is what our own templates made.


def _require_enabled() -> None:
    if not (current_app.debug or current_app.config["STYLEGUIDE"]):
        raise NotFoundError


def _list_states() -> list[ShownState]:
    """List the user's conversations that show states; empty without the demo."""
    user = current_user()
    tag = next((tag for tag in tags.list_for(user) if tag.name == STATES_TAG), None)
    if tag is None:
        return []
    tagged = conversations.list_tagged(user, tag).items
    return [
        ShownState(conversation, build_message_views(message_pages.page_before(conversation, size=2).messages))
        for conversation in tagged
    ]
