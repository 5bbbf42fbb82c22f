"""State of endpoints as runners report it. Only runners call this.

A look for servers is the work to claim (`services.leases`); a check of an endpoint is done by every runner that sees
the request, because each has a network of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import delete, select, update

from chatsite.database import WriteSession, db, write_transaction
from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel
from chatsite.errors import ChatsiteError
from chatsite.models import EndpointDiscovery, EndpointState, StoredEndpoint
from chatsite.services import leases
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.models.endpoints import (
    DISCOVERY_ID,
    MAX_LOOKING,
    MAX_MODEL_NAME_CHARS,
    load_configured,
    read_models,
)

# A runner that has looked for so long without an end is dead.
DISCOVERY_LEASE_SECONDS = 15.0
MAX_STORED_MODELS = 500


@dataclass(frozen=True)
class EndpointFacts:
    """What a server says about itself: family, models, what it can do, and how many answers it writes at once."""

    family: str
    models: Sequence[RemoteModel]
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    max_answers: int = 1


@dataclass(frozen=True)
class KnownEndpoint:
    """An endpoint of this site, and whether the owner wants it to be asked again."""

    endpoint: Endpoint
    check_requested: bool = False


def list_known(config: CatalogConfig) -> list[KnownEndpoint]:
    """Return the endpoints of this site. Raises ModelLoadError if the file of custom models is invalid."""
    columns = (StoredEndpoint.name, StoredEndpoint.url, StoredEndpoint.is_added, StoredEndpoint.check_requested)
    query = select(*columns)
    rows = {row.name: row for row in db.session.execute(query.order_by(StoredEndpoint.name))}
    known = []
    for endpoint in load_configured(config):
        row = rows.pop(endpoint.name, None)
        known.append(KnownEndpoint(endpoint, row is not None and row.url == endpoint.url and row.check_requested))
    for row in rows.values():
        if row.is_added:
            # Its family is found out each time: another server may listen there now.
            known.append(KnownEndpoint(Endpoint(row.name, row.url), row.check_requested))
    return known


def find_facts(endpoint: Endpoint) -> EndpointFacts | None:
    """Return what is stored about an endpoint, or None if no runner has asked it yet."""
    row = db.session.get(StoredEndpoint, endpoint.name)
    if row is None or row.url != endpoint.url or row.checked_at is None:
        return None
    return EndpointFacts(row.family, read_models(row.models), row.capabilities, row.max_answers)


def claim_discovery() -> bool:
    """Claim the look for servers that was requested; return whether this runner is to look."""
    with write_transaction() as tx:
        mine = update(EndpointDiscovery).where(
            EndpointDiscovery.id == DISCOVERY_ID,
            EndpointDiscovery.finished_at.is_(None),
            ~leases.has_expired(EndpointDiscovery.requested_at, MAX_LOOKING.total_seconds()),
            EndpointDiscovery.claimed_at.is_(None)
            | leases.has_expired(EndpointDiscovery.claimed_at, DISCOVERY_LEASE_SECONDS),
        )
        return bool(tx.execute(mine.values(claimed_at=leases.current_time())).rowcount)  # type: ignore[attr-defined]


def has_discovery_request() -> bool:
    """Return whether a look for servers is requested and not over."""
    is_over = leases.has_expired(EndpointDiscovery.requested_at, MAX_LOOKING.total_seconds())
    query = select(EndpointDiscovery.id).where(EndpointDiscovery.finished_at.is_(None), ~is_over)
    return db.session.scalar(query) is not None


def finish_discovery(config: CatalogConfig, found: Sequence[tuple[Endpoint, EndpointFacts]]) -> None:
    """Store which servers a look found, and end it.

    Servers that are not there any more are forgotten, unless they were added.
    """
    configured = {endpoint.name: endpoint.url for endpoint in load_configured(config)}
    with write_transaction() as tx:
        now = leases.read_time()
        tx.execute(update(StoredEndpoint).values(found_at=None))
        for endpoint, facts in found:
            if configured.get(endpoint.name, endpoint.url) != endpoint.url:
                continue
            row = _get_or_add(tx, endpoint)
            row.found_at = now
            # What is known of an endpoint of the site was found out with its key, and while it wrote answers.
            if not row.is_added and endpoint.name not in configured:
                _apply_facts(row, endpoint, facts)
        forgotten = delete(StoredEndpoint).where(StoredEndpoint.found_at.is_(None), StoredEndpoint.is_added.is_(False))
        tx.execute(forgotten.where(StoredEndpoint.name.not_in(configured)))
        row_of_look = tx.get(EndpointDiscovery, DISCOVERY_ID)
        if row_of_look:
            row_of_look.finished_at = now


def save_facts(endpoint: Endpoint, facts: EndpointFacts) -> None:
    """Store what an endpoint answered to a check."""
    with write_transaction() as tx:
        _apply_facts(_get_or_add(tx, endpoint), endpoint, facts)


def save_failure(endpoint: Endpoint, error: ChatsiteError) -> None:
    """Store why an endpoint did not answer a check. The models that it had stay known."""
    with write_transaction() as tx:
        row = _get_or_add(tx, endpoint)
        row.state, row.error = EndpointState.FAILED, error
        row.checked_at, row.check_requested = leases.read_time(), False


def save_capabilities(name: str, capabilities: Mapping[str, Any]) -> None:
    """Store what was found out about an endpoint while it wrote answers."""
    with write_transaction() as tx:
        tx.execute(update(StoredEndpoint).where(StoredEndpoint.name == name).values(capabilities=dict(capabilities)))


def save_block(name: str, seconds: float, error: ChatsiteError | None) -> None:
    """Store that an endpoint is not asked for `seconds` seconds, or again with 0.

    With an `error` it has failed; without one it is only busy.
    """
    values: dict[str, Any] = {"blocked_until": leases.lease_end(seconds) if seconds else None}
    if error:
        values |= {"state": EndpointState.FAILED, "error": error}
    with write_transaction() as tx:
        tx.execute(update(StoredEndpoint).where(StoredEndpoint.name == name).values(values))


def _apply_facts(row: StoredEndpoint, endpoint: Endpoint, facts: EndpointFacts) -> None:
    if row.state is EndpointState.FAILED:
        # A pause that a server asked for goes on, though it answers a check.
        row.blocked_until = None
    row.state, row.error = EndpointState.READY, None
    row.family, row.capabilities = facts.family, dict(facts.capabilities)
    # The administrator's number is the limit, whatever a server says of itself.
    row.max_answers = max(1, min(facts.max_answers, endpoint.max_answers))
    fits = (
        model
        for model in facts.models
        if model.id.isprintable() and len(f"{row.name}/{model.id}") <= MAX_MODEL_NAME_CHARS
    )
    row.models = [asdict(model) for model in fits][:MAX_STORED_MODELS]
    row.checked_at, row.check_requested = leases.read_time(), False


def _get_or_add(tx: WriteSession, endpoint: Endpoint) -> StoredEndpoint:
    """Return the row of an endpoint; one with another address under the same name is replaced."""
    row = tx.get(StoredEndpoint, endpoint.name, with_for_update=True, populate_existing=True)
    if row and row.url == endpoint.url:
        return row
    if row:
        tx.delete(row)
        tx.flush()
    row = StoredEndpoint(name=endpoint.name, url=endpoint.url, family=endpoint.family, max_answers=endpoint.max_answers)
    tx.add(row)
    return row
