"""Looking for servers of models on this machine, where they usually listen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from chatsite.engine.catalog.endpoints import NAME_BY_PORT, Endpoint
from chatsite.engine.remote.client import EndpointClient, Timeouts
from chatsite.engine.remote.probe import EndpointReport
from chatsite.errors import ChatsiteError

# What runs on this machine answers at once, or is busy with starting.
TIMEOUTS = Timeouts(connect=1.0, short=3.0)


def discover_endpoints(ports: tuple[int, ...] = tuple(NAME_BY_PORT)) -> list[tuple[Endpoint, EndpointReport]]:
    """Return the servers of models that listen at `ports` of this machine, with what they say about themselves.

    Takes a few seconds at most. No other machine is ever asked, and no key is sent.
    """
    endpoints = [Endpoint(NAME_BY_PORT.get(port, f"port-{port}"), f"http://127.0.0.1:{port}/v1") for port in ports]
    with ThreadPoolExecutor(max_workers=len(endpoints)) as pool:
        reports = list(pool.map(_probe, endpoints))
    return [(endpoint, report) for endpoint, report in zip(endpoints, reports, strict=True) if report]


def _probe(endpoint: Endpoint) -> EndpointReport | None:
    client = EndpointClient(endpoint, "", timeouts=TIMEOUTS)
    try:
        return client.probe()
    except ChatsiteError:
        return None
    finally:
        client.close()
