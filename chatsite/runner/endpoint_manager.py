"""The endpoint manager of a runner: asks endpoints what they have, looks for servers here, and stores the answers.

It runs between two ticks and never waits: threads ask the servers. A server that is asked to look after an answer, and
fails, is known to all runners at the next poll.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog

from chatsite.engine.catalog.catalog import CatalogEntry
from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel, find_entry, make_entry
from chatsite.engine.model_pool import ModelPool
from chatsite.errors import ChatsiteError, EngineError, ModelLoadError, endpoints
from chatsite.services.models import catalog as cards
from chatsite.services.models import endpoint_status, runners
from chatsite.services.models.endpoint_status import EndpointFacts
from chatsite.services.models.endpoints import load_configured

if TYPE_CHECKING:
    from chatsite.engine.remote.client import EndpointClient
    from chatsite.engine.remote.probe import EndpointReport

log = structlog.get_logger()

Result = TypeVar("Result")

POLL_SECONDS = 0.5
# A server that has failed may be back soon; one that answers may have got another model.
RECHECK_FAILED_SECONDS = 120.0
RECHECK_READY_SECONDS = 600.0
# Two ends of a pause that are nearer than this are the same.
SAME_BLOCK_SECONDS = 1.0


class Inquiry(Generic[Result]):
    """A question to a server, in a thread of its own, which begins at once. `error` is set if there is no `result`."""

    def __init__(self, ask: Callable[[], Result]) -> None:
        self.result: Result | None = None
        self.error: ChatsiteError | None = None
        self._ask = ask
        self._is_finished = threading.Event()
        threading.Thread(target=self._run, name="endpoint-inquiry", daemon=True).start()

    @property
    def is_finished(self) -> bool:
        """Whether there is a result or an error."""
        return self._is_finished.is_set()

    def _run(self) -> None:
        try:
            self.result = self._ask()
        except ChatsiteError as error:
            self.error = error
        except Exception:
            log.exception("inquiry_broke")
            self.error = EngineError()
        finally:
            self._is_finished.set()


@dataclass
class _Connection:
    """What this runner knows of one endpoint: its client, and what was found out and stored last.

    What other runners stored `is_read` once. A runner that `has_blocked` the endpoint for all is the one to open it.
    """

    endpoint: Endpoint
    client: EndpointClient | None = None
    inquiry: Inquiry[EndpointReport] | None = None
    models: Mapping[str, RemoteModel] | None = None
    saved_capabilities: Mapping[str, Any] | None = None
    blocked_until: float = 0.0
    has_blocked: bool = False
    next_check_at: float = 0.0
    is_reached: bool = False
    is_read: bool = False


class EndpointManager:
    """The endpoint manager of a runner. `config` is the configuration of the app; keys are read from `environ`.

    Raises ModelLoadError if the file of custom models is invalid.
    """

    def __init__(self, config: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> None:
        self._config = cards.read_catalog_config(config)
        self._lease_seconds: float = config["LEASE_SECONDS"]
        self._environ = environ
        self._pool: ModelPool | None = None
        # Those of the settings can be used before the database was asked for the others.
        configured = load_configured(self._config)
        self._connections = {endpoint.name: _Connection(endpoint) for endpoint in configured}
        self._leaving: list[_Connection] = []
        self._discovery: Inquiry[list[tuple[Endpoint, EndpointReport]]] | None = None
        self._next_poll_at = 0.0
        # The first one to need a client may be a thread that asks, or the runner with a request.
        self._client_lock = threading.Lock()

    def attach(self, pool: ModelPool) -> None:
        """Let models of endpoints that are taken from the site leave `pool`."""
        self._pool = pool

    def read_endpoints(self) -> None:
        """Take up the endpoints that were added to the site, before the first poll. Needs an app context."""
        self._follow_endpoints()

    @property
    def known(self) -> frozenset[str]:
        """The names of the endpoints of the site."""
        return frozenset(self._connections)

    @property
    def reached(self) -> frozenset[str]:
        """The names of the endpoints that answered this runner when it asked them last."""
        return frozenset(name for name, connection in self._connections.items() if connection.is_reached)

    def find_entry(self, name: str) -> CatalogEntry | None:
        """Return the entry of a model of an endpoint, or None if no endpoint has that name.

        Endpoints are not always asked for what they have before a model is used, so any model is taken for theirs.
        """
        entry = find_entry(name, [connection.endpoint for connection in self._connections.values()])
        if entry is None:
            return None
        connection = self._connections[name.partition("/")[0]]
        model = (connection.models or {}).get(name.partition("/")[2])
        return make_entry(connection.endpoint, model) if model else entry

    def get_client(self, name: str) -> EndpointClient:
        """Return the client of an endpoint.

        Raises ModelLoadError if there is no such endpoint, or if its key or its certificates cannot be read.
        """
        connection = self._connections.get(name)
        if connection is None:
            raise ModelLoadError(reason=endpoints.EndpointUnknownError(endpoint=name))
        try:
            return self._open_client(connection)
        except endpoints.EndpointError as error:
            raise ModelLoadError(reason=error) from error

    def poll(self, owner: str) -> None:
        """Store what came back, and ask what is due, at most every POLL_SECONDS. Needs an app context.

        `owner` is this runner. Raises the ChatsiteError of a write, such as DatabaseBusyError.
        """
        if time.monotonic() < self._next_poll_at:
            return
        self._next_poll_at = time.monotonic() + POLL_SECONDS
        requested = self._follow_endpoints()
        for connection in self._connections.values():
            self._take_report(connection, owner)
            self._share_circuit(connection, owner)
            is_due = time.monotonic() >= connection.next_check_at or connection.endpoint.name in requested
            if connection.inquiry is None and is_due:
                connection.inquiry = Inquiry(lambda connection=connection: self._open_client(connection).probe())  # type: ignore[misc]
        self._look_for_servers()

    def close(self) -> None:
        """Close all clients."""
        for connection in (*self._connections.values(), *self._leaving):
            if connection.client:
                connection.client.close()

    def _follow_endpoints(self) -> set[str]:
        """Take up new endpoints and drop those that are gone; return the names of those to be asked at once."""
        known = {each.endpoint.name: each for each in endpoint_status.list_known(self._config)}
        for name, connection in list(self._connections.items()):
            if name not in known or _is_elsewhere(connection.endpoint, known[name].endpoint):
                self._leaving.append(self._connections.pop(name))
        for name in known.keys() - self._connections.keys():
            self._connections[name] = _Connection(known[name].endpoint)
        for connection in self._connections.values():
            facts = None if connection.is_read else endpoint_status.find_facts(connection.endpoint)
            if facts:
                connection.models = {model.id: model for model in facts.models}
                connection.saved_capabilities = facts.capabilities
            connection.is_read = True
        self._leaving = [connection for connection in self._leaving if not self._has_left(connection)]
        return {name for name, each in known.items() if each.check_requested}

    def _has_left(self, connection: _Connection) -> bool:
        """Unload the models of an endpoint that is gone, and close its client when its answers are over."""
        prefix = f"{connection.endpoint.name}/"
        loaded = [each.model for each in self._pool.list_statuses()] if self._pool else []
        # One after the other, so that all of them are refused from now on.
        are_gone = [self._pool.unload_model(name) for name in loaded if self._pool and name.startswith(prefix)]
        if not all(are_gone):
            return False
        if connection.client:
            connection.client.close()
        return True

    def _open_client(self, connection: _Connection) -> EndpointClient:
        """Return the client of a connection, with its key. Raises EndpointError if that cannot be read."""
        with self._client_lock:
            if connection.client is None:
                # Takes a while to import, and most sites have no endpoints.
                from chatsite.engine.remote.client import EndpointClient
                from chatsite.engine.remote.keys import read_key

                key = read_key(connection.endpoint, self._environ)
                connection.client = EndpointClient(connection.endpoint, key, dict(connection.saved_capabilities or {}))
            return connection.client

    def _take_report(self, connection: _Connection, owner: str) -> None:
        """Store what an endpoint said about itself, or why it said nothing."""
        inquiry = connection.inquiry
        if inquiry is None or not inquiry.is_finished:
            return
        name, report = connection.endpoint.name, inquiry.result
        if report is not None:
            endpoint_status.save_facts(connection.endpoint, _read_report(report))
            connection.models = {model.id: model for model in report.models}
            connection.saved_capabilities = dict(report.capabilities)
            log.info("endpoint_ready", endpoint=name, family=report.family, models=len(report.models))
        else:
            error = inquiry.error or EngineError()
            # What answers another runner has not failed: each machine has a network of its own.
            if not runners.is_reached_elsewhere(name, owner, self._lease_seconds):
                endpoint_status.save_failure(connection.endpoint, error)
            log.warning("endpoint_failed", endpoint=name, reason=str(error))
        connection.inquiry = None
        connection.is_reached = report is not None
        recheck_seconds = RECHECK_READY_SECONDS if connection.is_reached else RECHECK_FAILED_SECONDS
        connection.next_check_at = time.monotonic() + recheck_seconds

    def _share_circuit(self, connection: _Connection, owner: str) -> None:
        """Let all runners know while an endpoint is not asked, and when it is again."""
        client = connection.client
        if client is None:
            return
        circuit = client.circuit
        end = time.monotonic() + circuit.seconds_left if circuit else 0.0
        if abs(end - connection.blocked_until) > SAME_BLOCK_SECONDS:
            seconds, error = (circuit.seconds_left, circuit.error) if circuit else (0.0, None)
            if error:
                # From now on others are left what they can answer.
                connection.is_reached = False
            # What answers another runner has not failed; that it asks for a pause holds for all.
            is_ours = error is None or not runners.is_reached_elsewhere(
                connection.endpoint.name, owner, self._lease_seconds
            )
            if is_ours if circuit else connection.has_blocked:
                endpoint_status.save_block(connection.endpoint.name, seconds, error)
            connection.has_blocked = circuit is not None and is_ours
            connection.blocked_until = end
            if circuit is None:
                # What failed is there again, or is asked whether it is.
                connection.next_check_at = 0.0
        if client.capabilities != connection.saved_capabilities and connection.is_reached:
            capabilities = dict(client.capabilities)
            endpoint_status.save_capabilities(connection.endpoint.name, capabilities)
            connection.saved_capabilities = capabilities

    def _look_for_servers(self) -> None:
        """Begin with the look for servers that was requested, or store what it found."""
        if self._discovery is None:
            if endpoint_status.has_discovery_request() and endpoint_status.claim_discovery():
                from chatsite.engine.remote.discovery import discover_endpoints

                self._discovery = Inquiry(discover_endpoints)
        elif self._discovery.is_finished:
            found = self._discovery.result or []
            endpoint_status.finish_discovery(
                self._config, [(endpoint, _read_report(report)) for endpoint, report in found]
            )
            self._discovery = None
            log.info("endpoints_discovered", names=[endpoint.name for endpoint, _ in found])


def _read_report(report: EndpointReport) -> EndpointFacts:
    return EndpointFacts(report.family, report.models, report.capabilities, report.max_answers)


def _is_elsewhere(former: Endpoint, current: Endpoint) -> bool:
    """Return whether an endpoint has another address now than when its client was made."""
    return former.url != current.url
