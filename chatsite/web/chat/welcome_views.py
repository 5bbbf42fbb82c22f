"""Views of the front page, where a conversation starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chatsite.models import Persona
from chatsite.services.chat import conversations
from chatsite.services.models.catalog import ModelCard
from chatsite.services.personas import personas
from chatsite.services.personas.personas import BuiltInPersona
from chatsite.web.chat.composer_views import ComposerView, build_new_composer
from chatsite.web.chat.first_run import FirstRunView, build_first_run
from chatsite.web.core.identity import current_user
from chatsite.web.core.open_conversation import ConversationMenu
from chatsite.web.core.page_view import PageView
from chatsite.web.models.advice import LanguageHint, find_language_hint, has_better_model
from chatsite.web.models.endpoint_views import describe_leaving
from chatsite.web.models.settings_form import requested_persona
from chatsite.web.models.starters import Starter, list_starters
from chatsite.web.models.views import find_next_model


@dataclass(frozen=True)
class WelcomeView:
    """The content of the front page: the model, the persona, and suggestions for a first message.

    `persona` is the one with which the conversation starts. `has_better_model` says that the reader can get a model
    that answers better; `language_hint`, that this one does not speak the reader's language. `destination` says where
    words go that leave this computer.
    """

    card: ModelCard | None
    starters: Sequence[Starter]
    personas: Sequence[BuiltInPersona]
    persona: Persona | BuiltInPersona | None = None
    has_better_model: bool = False
    language_hint: LanguageHint | None = None
    destination: str = ""


@dataclass(frozen=True, kw_only=True)
class NewConversationPage(PageView):
    """The front page, where a conversation starts. `is_first_visit` says that there is no conversation yet."""

    menu: ConversationMenu
    welcome: WelcomeView
    composer: ComposerView
    first_run: FirstRunView | None
    is_first_visit: bool


def build_welcome() -> WelcomeView:
    """Build the content of the front page for the model and the persona in the address of the request."""
    card = find_next_model(None)
    persona = requested_persona()
    return WelcomeView(
        card,
        list_starters(card, persona),
        personas.list_for_model(card.entry) if card else [],
        persona,
        has_better_model=has_better_model(card),
        language_hint=find_language_hint(card),
        destination=describe_leaving(card),
    )


def build_new_page(starter_text: str) -> NewConversationPage:
    """Build the front page, with `starter_text` or else the user's draft in the composer."""
    is_first_visit = not conversations.list_page(current_user(), size=1).items
    return NewConversationPage(
        is_first_visit=is_first_visit,
        menu=ConversationMenu(),
        welcome=build_welcome(),
        composer=build_new_composer(starter_text),
        first_run=build_first_run(not is_first_visit),
    )
