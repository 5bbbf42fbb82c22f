"""Views of models: cards, availability in the composer, and context windows in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import request
from flask_babel import gettext, ngettext

from chatsite.engine.catalog.catalog import CatalogEntry, HubSource, ModelGroup
from chatsite.engine.catalog.entry import SMALL_TALK_FAMILIES
from chatsite.errors import ChatsiteError, ModelNotFoundError, gettext_noop
from chatsite.models import Conversation, Runner
from chatsite.services.models import catalog, choice
from chatsite.services.models.catalog import DOWNLOADING_STATES, ModelCard
from chatsite.services.models.recommendation import Recommendation, estimate_speeds
from chatsite.web.core.identity import catalog_config, current_user, find_current_runner
from chatsite.web.core.page_view import PageView
from chatsite.web.models.advice import find_best, may_manage_models
from chatsite.web.models.endpoint_views import (
    EndpointsView,
    build_endpoints_view,
    describe_destination,
    describe_leaving,
    list_outside_hosts,
)

# Phases that end by themselves, so a card in one of them polls.
IN_PROGRESS = {"waiting", "fetching", "converting", "loading", "removing"}
# Tokens of a small talk turn with its template tokens, and of an English page of 400 words at three words for four
# tokens.
TURN_TOKENS = 20
PAGE_TOKENS = 540
# The groups in the order of the page.
GROUP_TITLES = {
    ModelGroup.CHAT: gettext_noop("Chat"),
    ModelGroup.SMALL_TALK: gettext_noop("Small talk"),
    ModelGroup.TASKS: gettext_noop("Text tools"),
    ModelGroup.MUSEUM: gettext_noop("Museum"),
}
# The availability in the composer, by the phase of the model; a waiting user need not know more.
AVAILABILITY_BY_STATUS = {
    "waiting": "fetching",
    "fetching": "fetching",
    "converting": "fetching",
    "loading": "loading",
    "ready": "ready",
    "failed": "failed",
}


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """A model on its card: its status on this machine, and the available actions.

    `context_window` describes the window in words, `free_bytes` is the free space on the disk. `has_no_runner` says
    that a request waits while no runner is alive. With `has_focus` the status gets the keyboard focus. A model that
    `can_become_default` may be chosen for new conversations. `estimated_speed` is in tokens per second. For a model
    that runs elsewhere, `destination` says where words go.
    """

    card: ModelCard
    status: str
    is_in_progress: bool
    context_window: str
    hub_url: str | None
    pull_command: str
    can_manage: bool
    free_bytes: int
    has_no_runner: bool
    can_become_default: bool
    destination: str = ""
    estimated_speed: float | None = None
    has_focus: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the row of the model is open from the beginning: something goes on there, or went wrong."""
        return self.is_in_progress or self.status == "failed"


@dataclass(frozen=True)
class ComposerStatus:
    """The line in the composer about the model: availability, progress between 0 and 1, and the error, if any.

    `destination` says where words go that leave this computer.
    """

    card: ModelCard | None
    availability: str
    fraction: float | None
    error: ChatsiteError | None
    destination: str = ""


@dataclass(frozen=True)
class ModelGroupView:
    """The models that are for one purpose, under the title of the group."""

    name: str
    title: str
    models: Sequence[ModelView]


@dataclass(frozen=True, kw_only=True)
class ModelsPage(PageView):
    """All models of the catalog in groups, with the best one for this machine, and the servers that have others.

    `is_in_progress` says that one of them is downloading, loading or being removed, or that a server is asked. Words
    may go to the `outside_hosts`.
    """

    groups: Sequence[ModelGroupView]
    endpoints: EndpointsView
    outside_hosts: Sequence[str]
    best: Recommendation | None
    best_model: ModelView | None
    is_in_progress: bool
    free_bytes: int


@dataclass(frozen=True, kw_only=True)
class ModelPage(PageView):
    """The page of one model."""

    model: ModelView


@dataclass(frozen=True)
class RemovalForm:
    """The question whether to remove a model, in its card."""

    card: ModelCard


@dataclass(frozen=True, kw_only=True)
class ConfirmRemovalPage(PageView):
    """The question whether to remove a model, as a page."""

    form: RemovalForm


@dataclass(frozen=True)
class WeightsView:
    """The part of a model card that changes, and its announcement for screen readers."""

    model: ModelView
    announcement: str


def build_model_view(card: ModelCard, free_bytes: int, has_focus: bool = False) -> ModelView:
    """Build the card of a model; `free_bytes` is the free space on the disk of the models."""
    status, may_manage = model_status(card), may_manage_models()
    return ModelView(
        card=card,
        status=status,
        is_in_progress=status in IN_PROGRESS,
        context_window=describe_context_window(card.entry),
        hub_url=hub_url(card.entry),
        pull_command=f"chatsite models pull {card.name}",
        can_manage=may_manage,
        free_bytes=free_bytes,
        has_no_runner=status == "waiting" and find_current_runner() is None,
        can_become_default=status == "ready" and not card.is_default and may_manage and catalog_config().is_auto,
        destination=describe_destination(card.endpoint.endpoint) if card.endpoint else "",
        has_focus=has_focus,
    )


def build_models_page(cards: Sequence[ModelCard], free_bytes: int) -> ModelsPage:
    """Build the page of all models, in the order of `cards`."""
    speeds = estimate_speeds(cards)
    local_cards = [card for card in cards if not card.entry.is_remote]
    models = [
        replace(build_model_view(card, free_bytes), estimated_speed=speeds.get(card.name)) for card in local_cards
    ]
    endpoints_view = build_endpoints_view()
    best = find_best(cards)
    grouped = [
        ModelGroupView(group.value, gettext(title), [model for model in models if model.card.entry.group is group])
        for group, title in GROUP_TITLES.items()
    ]
    return ModelsPage(
        groups=[group for group in grouped if group.models],
        endpoints=endpoints_view,
        outside_hosts=list_outside_hosts([each.card for each in endpoints_view.endpoints]),
        best=best,
        best_model=next((model for model in models if best and model.card.name == best.card.name), None),
        is_in_progress=endpoints_view.is_in_progress or any(model.is_in_progress for model in models),
        free_bytes=free_bytes,
    )


def load_composer_status(card: ModelCard | None) -> ComposerStatus:
    """Load the line of the composer about a model; `card` is None for a model that left the catalog."""
    runner = find_current_runner()
    if card and card.endpoint:
        return ComposerStatus(card, model_availability(card, runner), None, card.error, describe_leaving(card))
    fraction = card.progress if card and card.progress is not None else (runner.progress if runner else None)
    error = (card.error if card else None) or (runner.error if runner else None)
    return ComposerStatus(card, model_availability(card, runner), fraction, error)


def model_status(card: ModelCard) -> str:
    """Return the phase of a model on this machine: a download state, `waiting`, `loading` or `removing`."""
    if card.is_removing:
        return "removing"
    if card.is_queued:
        return "waiting"
    if card.download_state in DOWNLOADING_STATES or not card.is_ready:
        return card.download_state.value
    return "loading" if card.local_model and card.local_model.is_loading else "ready"


def status_announcement(card: ModelCard) -> str:
    """Return the announcement of the current phase of a model, or an empty string for phases of no interest."""
    title = card.entry.title
    sentences = {
        "fetching": gettext("%(model)s is being downloaded.", model=title),
        "ready": gettext("%(model)s is ready.", model=title),
        "failed": gettext("There is a problem with %(model)s.", model=title),
        "absent": gettext("%(model)s was removed.", model=title),
    }
    return str(sentences.get(model_status(card), ""))


def describe_context_window(entry: CatalogEntry) -> str:
    """Describe the context window in messages or pages; empty if its size is not known."""
    if not entry.context_tokens:
        return ""
    if entry.family == "text-to-text":
        return str(gettext("one message at a time, without history"))
    if entry.family in SMALL_TALK_FAMILIES:
        turns = entry.context_tokens // TURN_TOKENS
        return str(ngettext("about the last %(num)s message", "about the last %(num)s messages", turns))
    pages = max(1, round(entry.context_tokens / PAGE_TOKENS))
    return str(ngettext("about %(num)s page", "about %(num)s pages", pages))


def hub_url(entry: CatalogEntry) -> str | None:
    """Return the address of the model on the Hugging Face Hub, or None for other sources."""
    return f"https://huggingface.co/{entry.source.repo}" if isinstance(entry.source, HubSource) else None


def find_next_model(conversation: Conversation | None) -> ModelCard | None:
    """Return the card of the model that answers next: of the conversation, of `?model=`, or the default of the user.

    Returns None if the catalog no longer contains it.
    """
    config = catalog_config()
    if conversation:
        model_name = conversation.model
    else:
        model_name = request.args.get("model") or choice.find_default_model(config, current_user())
    try:
        return catalog.get_card(config, model_name or catalog.default_name(config))
    except ModelNotFoundError:
        return None


def model_availability(card: ModelCard | None, runner: Runner | None) -> str:
    """Return whether a model can answer now: `ready`, `loading`, `fetching`, `failed`, `away` or `missing`.

    `missing` means that no runner is alive, `away` that the model is not on this machine. The state that `runner`
    reports for its default model takes precedence over the stored download states.
    """
    if runner is None:
        return "missing"
    if card and card.entry.is_remote:
        return AVAILABILITY_BY_STATUS.get(model_status(card), "loading")
    if card and card.name == runner.model:
        return runner.state.value
    return AVAILABILITY_BY_STATUS.get(model_status(card), "away") if card else "away"
