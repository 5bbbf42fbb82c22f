"""Endpoints as the web sees them: which ones there are, what runners found out about them, and what the owner requests.

The web asks no server anything. It stores requests (a look for servers on this computer, another check); a runner
carries them out and stores the result with `services.models.endpoint_status`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from chatsite.database import WriteSession, db, write_transaction
from chatsite.engine.catalog.catalog import CatalogEntry
from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel, load_endpoints, make_entry
from chatsite.errors import ChatsiteError, EndpointConfiguredError, EndpointNotFoundError
from chatsite.models import EndpointDiscovery, EndpointState, StoredEndpoint
from chatsite.services import leases
from chatsite.services.models.catalog_config import CatalogConfig

# A look takes a few seconds; nobody waits longer for a runner that does not come.
MAX_LOOKING = timedelta(seconds=30)
DISCOVERY_ID = 1
# A cloud has hundreds; the administrator names those that are wanted.
MAX_LISTED_MODELS = 60
# The name of a model is `endpoint/model` in all tables.
MAX_MODEL_NAME_CHARS = 200
# Servers that always write another answer (`engine.remote.families`).
FAMILIES_WITHOUT_CONTINUATION = frozenset({"openai", "transformers"})

make_cached_entry = functools.lru_cache(maxsize=4096)(make_entry)


@dataclass(frozen=True)
class EndpointCard:
    """An endpoint and what a runner last found out about it (None: nothing yet).

    One that `is_configured` stands in a file or the environment; another was added on a page or by a command.
    """

    endpoint: Endpoint
    stored: StoredEndpoint | None
    is_configured: bool

    @property
    def name(self) -> str:
        """The name of the endpoint."""
        return self.endpoint.name

    @property
    def title(self) -> str:
        """What people call it."""
        return self.endpoint.title or self.name

    @property
    def state(self) -> EndpointState:
        """How it last answered."""
        return self.stored.state if self.stored else EndpointState.UNKNOWN

    @property
    def is_ready(self) -> bool:
        """Return whether it answered when it was last asked."""
        return self.state is EndpointState.READY

    @property
    def error(self) -> ChatsiteError | None:
        """The reason why it did not answer, or None."""
        return self.stored.error if self.stored and self.state is EndpointState.FAILED else None

    @property
    def is_checking(self) -> bool:
        """Return whether a runner is to ask it, or is asking."""
        return self.stored is not None and self.stored.check_requested

    @property
    def blocked_until(self) -> datetime | None:
        """The time until which it is not asked for answers, if that is to come."""
        until = self.stored.blocked_until if self.stored else None
        return until if until and until > leases.read_time() else None

    @property
    def models(self) -> tuple[RemoteModel, ...]:
        """The models that can be chosen: those that the administrator names, or else all that it last listed."""
        stored = self.stored.models if self.stored else []
        if not self.endpoint.models:
            return read_models(stored[:MAX_LISTED_MODELS])
        by_id = {model.id: model for model in read_models(stored)}
        wanted = (id_ for id_ in self.endpoint.models if len(f"{self.name}/{id_}") <= MAX_MODEL_NAME_CHARS)
        return tuple(by_id.get(id_, RemoteModel(id_)) for id_ in wanted)

    @property
    def unlisted_count(self) -> int:
        """The number of models that it has beyond those that can be chosen, unless the administrator named some."""
        return 0 if self.endpoint.models or not self.stored else max(0, len(self.stored.models) - MAX_LISTED_MODELS)

    @property
    def entries(self) -> list[CatalogEntry]:
        """The catalog entries of its models."""
        return [make_cached_entry(self.endpoint, model) for model in self.models]


@dataclass(frozen=True)
class DiscoveryStatus:
    """The look for servers on this computer: whether it `is_looking`, and when the last one ended, if ever."""

    is_looking: bool = False
    finished_at: datetime | None = None


def load_configured(config: CatalogConfig) -> tuple[Endpoint, ...]:
    """Return the endpoints of the settings. Raises ModelLoadError if the file of custom models is invalid."""
    return load_endpoints(config.custom_models_file, config.endpoint)


def list_cards(config: CatalogConfig) -> list[EndpointCard]:
    """Return the endpoints of this site: the configured ones, then those that were added, by name.

    Raises ModelLoadError if the file of custom models is invalid.
    """
    rows = db.session.scalars(select(StoredEndpoint).order_by(StoredEndpoint.name)).all()
    return build_cards(load_configured(config), rows)


def build_cards(configured: Sequence[Endpoint], rows: Sequence[StoredEndpoint]) -> list[EndpointCard]:
    """Return the cards of the configured endpoints, and of the rows that were added.

    What is stored about another address of a configured endpoint says nothing.
    """
    by_name = {row.name: row for row in rows}
    cards = []
    for endpoint in configured:
        row = by_name.pop(endpoint.name, None)
        cards.append(EndpointCard(endpoint, row if row and row.url == endpoint.url else None, True))
    added = [EndpointCard(read_endpoint(row), row, False) for row in by_name.values() if row.is_added]
    return [*cards, *added]


def list_found(config: CatalogConfig) -> list[EndpointCard]:
    """Return the servers that the last look found and that are no endpoints of this site."""
    query = select(StoredEndpoint).where(StoredEndpoint.found_at.is_not(None), StoredEndpoint.is_added.is_(False))
    configured = load_configured(config)
    known = {endpoint.name for endpoint in configured} | {endpoint.url for endpoint in configured}
    rows = db.session.scalars(query.order_by(StoredEndpoint.name))
    return [EndpointCard(read_endpoint(row), row, False) for row in rows if not {row.name, row.url} & known]


def can_continue(model: str | None) -> bool:
    """Return whether a model can go on with an answer, as far as its endpoint is known; local models can.

    A server that cannot writes another answer, which would begin in the middle of the first one.
    """
    name, _, model_id = (model or "").partition("/")
    row = db.session.get(StoredEndpoint, name) if model_id else None
    if row and row.family in FAMILIES_WITHOUT_CONTINUATION:
        return False
    known = row.capabilities.get("continue") if row else None
    return not isinstance(known, dict) or known.get(model_id) is not False


def get_discovery_status() -> DiscoveryStatus:
    """Return how the last look for servers stands; one that no runner has carried out in time is over."""
    row = db.session.get(EndpointDiscovery, DISCOVERY_ID)
    if row is None:
        return DiscoveryStatus()
    is_looking = row.is_in_progress and row.requested_at > leases.read_time() - MAX_LOOKING
    return DiscoveryStatus(is_looking, row.finished_at)


def request_discovery() -> None:
    """Ask the runners to look for servers on this computer. Raises the StorageError of the write."""
    with write_transaction() as tx:
        row, now = tx.get(EndpointDiscovery, DISCOVERY_ID, with_for_update=True), leases.read_time()
        if row is None:
            tx.add(EndpointDiscovery(id=DISCOVERY_ID, requested_at=now))
        elif not row.is_in_progress or row.requested_at <= now - MAX_LOOKING:
            row.requested_at, row.claimed_at, row.finished_at = now, None, None


def request_check(config: CatalogConfig, name: str) -> None:
    """Ask the runners to ask an endpoint again. Raises EndpointNotFoundError, or the StorageError of the write."""
    with write_transaction() as tx:
        card = _get_card(config, name)
        row = card.stored or _replace(tx, card.endpoint)
        row.check_requested = True


def add(name: str) -> None:
    """Make a server that was found an endpoint of this site.

    Raises EndpointNotFoundError, or the StorageError of the write.
    """
    with write_transaction() as tx:
        row = tx.get(StoredEndpoint, name, with_for_update=True)
        if row is None or row.found_at is None:
            raise EndpointNotFoundError
        row.is_added = True


def add_endpoint(endpoint: Endpoint) -> None:
    """Add an endpoint of the owner's to this site, to be asked by a runner. Raises the StorageError of the write."""
    with write_transaction() as tx:
        row = tx.get(StoredEndpoint, endpoint.name, with_for_update=True)
        if row is None or row.url != endpoint.url:
            row = _replace(tx, endpoint)
        row.is_added = row.check_requested = True


def remove(config: CatalogConfig, name: str) -> None:
    """Take an endpoint that was added from this site; its conversations can still be read.

    Raises EndpointNotFoundError, EndpointConfiguredError for one of the administrator's, or the StorageError of the
    write.
    """
    with write_transaction() as tx:
        card = _get_card(config, name)
        if card.is_configured or card.stored is None:
            raise EndpointConfiguredError
        card.stored.is_added = False
        if card.stored.found_at is None:
            tx.delete(card.stored)


def read_endpoint(row: StoredEndpoint) -> Endpoint:
    """Return the endpoint of a row that is not configured anywhere."""
    return Endpoint(row.name, row.url)


def read_models(stored: Sequence[dict[str, object]]) -> tuple[RemoteModel, ...]:
    """Return the models of a row, but those whose ids no page can show.

    What a later version of the code stores with them is left out.
    """
    return tuple(
        RemoteModel(
            id=str(each["id"]),
            title=str(each.get("title", "")),
            context_tokens=_number(each.get("context_tokens")),
            size_bytes=_number(each.get("size_bytes")),
            parameter_count=_number(each.get("parameter_count")),
        )
        for each in stored
        if str(each["id"]).isprintable()
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _get_card(config: CatalogConfig, name: str) -> EndpointCard:
    cards = list_cards(config)
    card = next((card for card in cards if card.name == name), None)
    if card is None:
        raise EndpointNotFoundError
    return card


def _replace(tx: WriteSession, endpoint: Endpoint) -> StoredEndpoint:
    """Return a new row for an endpoint, in the place of one with the same name and another address."""
    tx.execute(delete(StoredEndpoint).where(StoredEndpoint.name == endpoint.name))
    row = StoredEndpoint(name=endpoint.name, url=endpoint.url, family=endpoint.family, max_answers=endpoint.max_answers)
    tx.add(row)
    tx.flush()
    return row
