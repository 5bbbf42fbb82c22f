"""Views of endpoints: what there is, where words go, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask_babel import gettext

from chatsite.engine.catalog.catalog import CatalogEntry
from chatsite.engine.catalog.endpoints import Endpoint
from chatsite.services.models import endpoints
from chatsite.services.models.catalog import ModelCard
from chatsite.services.models.endpoints import EndpointCard
from chatsite.web.core.identity import catalog_config, find_current_runner
from chatsite.web.models.advice import may_manage_models


@dataclass(frozen=True, kw_only=True)
class EndpointView:
    """An endpoint, or a server that was found: its `status`, and what can be done with it.

    `address` is where it listens, and `destination` says where words go. `models` are its models with their sizes and
    context windows, where it tells.
    """

    card: EndpointCard
    status: str
    address: str
    destination: str
    models: Sequence[ServedModel]
    can_add: bool = False
    can_remove: bool = False
    can_check: bool = False


@dataclass(frozen=True)
class ServedModel:
    """A model of an endpoint, and whether a conversation can use it now."""

    entry: CatalogEntry
    size_bytes: int
    context_tokens: int


@dataclass(frozen=True, kw_only=True)
class EndpointsView:
    """The servers of the site and those that were found.

    `is_looking` says that a runner is to look for servers, `has_looked` that one did. `has_no_runner` says that nobody
    can look or ask. With `has_focus` the line about that gets the keyboard focus; `announcement` is for screen readers.
    """

    endpoints: Sequence[EndpointView]
    found: Sequence[EndpointView]
    can_manage: bool
    is_looking: bool
    has_looked: bool
    has_no_runner: bool
    has_focus: bool = False
    announcement: str = ""

    @property
    def is_in_progress(self) -> bool:
        """Whether something is to come that the page waits for."""
        return not self.has_no_runner and (self.is_looking or any(each.status == "checking" for each in self.endpoints))

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to see or to do."""
        return bool(self.can_manage or self.endpoints)

    @property
    def known_state(self) -> str:
        """What the page shows, as the next request says it: it is announced once that has ended."""
        return "looking" if self.is_looking else "checking" if self.is_in_progress else ""


def build_endpoints_view(*, known_state: str = "", has_focus: bool = False) -> EndpointsView:
    """Build the view of all endpoints. The end of `known_state`, which the page shows, is announced."""
    config, can_manage = catalog_config(), may_manage_models()
    cards = endpoints.list_cards(config)
    found = endpoints.list_found(config) if can_manage else []
    discovery = endpoints.get_discovery_status() if can_manage else endpoints.DiscoveryStatus()
    is_waiting = discovery.is_looking or any(card.is_checking for card in cards)
    view = EndpointsView(
        endpoints=[build_endpoint_view(card, can_manage) for card in cards],
        found=[build_endpoint_view(card, can_manage, is_found=True) for card in found],
        can_manage=can_manage,
        is_looking=discovery.is_looking,
        has_looked=discovery.finished_at is not None,
        has_no_runner=is_waiting and find_current_runner() is None,
        has_focus=has_focus,
    )
    if known_state and known_state != view.known_state:
        return EndpointsView(**{**vars(view), "announcement": _announce(view, known_state)})
    return view


def build_endpoint_view(card: EndpointCard, can_manage: bool, *, is_found: bool = False) -> EndpointView:
    """Build the view of one endpoint."""
    status = "checking" if card.is_checking else card.state.value
    return EndpointView(
        card=card,
        status=status,
        address=urlsplit(card.endpoint.url).netloc,
        destination=describe_destination(card.endpoint),
        models=[
            ServedModel(entry, model.size_bytes, model.context_tokens)
            for entry, model in zip(card.entries, card.models, strict=True)
        ],
        can_add=is_found and can_manage,
        can_remove=not is_found and can_manage and not card.is_configured,
        can_check=not is_found and can_manage and status != "checking",
    )


def describe_destination(endpoint: Endpoint) -> str:
    """Return where words go that are sent to an endpoint, as a sentence."""
    if endpoint.is_loopback:
        return str(gettext("Your messages stay on this computer"))
    if endpoint.is_local:
        return str(gettext("Your messages stay in this network: %(host)s", host=endpoint.host))
    return str(gettext("Your messages leave this computer: %(host)s", host=endpoint.host))


def describe_leaving(card: ModelCard | None) -> str:
    """Return where words go that leave this computer for a model, as a sentence; empty if they do not."""
    if card is None or card.endpoint is None or card.endpoint.endpoint.is_loopback:
        return ""
    return describe_destination(card.endpoint.endpoint)


def list_outside_hosts(cards: Sequence[EndpointCard]) -> list[str]:
    """Return the hosts outside of this network to which words may go, in the order of the endpoints."""
    return list(dict.fromkeys(card.endpoint.host for card in cards if not card.endpoint.is_local))


def _announce(view: EndpointsView, known_state: str) -> str:
    if known_state != "looking":
        failed = [each.card.name for each in view.endpoints if each.status == "failed"]
        return str(
            gettext("%(server)s does not answer.", server=", ".join(failed))
            if failed
            else gettext("The servers answer.")
        )
    names = [each.card.name for each in view.found]
    if names:
        return str(gettext("Found: %(servers)s", servers=", ".join(names)))
    return str(gettext("No other servers were found."))
