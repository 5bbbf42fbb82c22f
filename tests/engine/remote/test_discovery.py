"""The look for servers of models on this machine."""

from __future__ import annotations

from chatsite.engine.remote.discovery import discover_endpoints
from tests.support.model_server import RESET, ModelServer, head
from tests.support.served_site import find_free_port
from tests.support.server_families import LlamaCppServer, OllamaServer


def test_servers_of_models_are_found_and_others_are_not() -> None:
    with (
        ModelServer(OllamaServer().reply) as ollama,
        ModelServer(LlamaCppServer().reply) as llama,
        ModelServer(lambda _: [head(404, "text/html"), b"<html>"]) as page,
        ModelServer(lambda _: [RESET]) as rude,
    ):
        ports = (ollama.port, llama.port, page.port, rude.port, find_free_port())
        found = {endpoint.url: (endpoint, report) for endpoint, report in discover_endpoints(ports)}
        assert set(found) == {ollama.url, llama.url}
        endpoint, report = found[ollama.url]
        assert (report.family, [model.id for model in report.models]) == ("ollama", ["m"])
        assert endpoint.is_loopback
        assert not any("authorization" in each.headers for each in (*ollama.requests, *page.requests))
