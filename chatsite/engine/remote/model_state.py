"""What the answers of one remote model share: how much it reads, what was learned of its tokens, and its speed."""

from __future__ import annotations

from collections.abc import Callable

from chatsite.engine.remote.client import EndpointClient
from chatsite.engine.remote.counters import Counter, LlamaCppCounter, VllmCounter
from chatsite.engine.remote.families import Counting, Family, find_family
from chatsite.engine.remote.history import CountedHistory, EstimatedHistory, ModelFacts
from chatsite.engine.remote.token_ledger import TokenLedger

DEFAULT_CONTEXT_TOKENS = 4096
COUNTERS: dict[Counting, Callable[..., Counter]] = {
    Counting.LLAMA_CPP: LlamaCppCounter,
    Counting.VLLM: VllmCounter,
}


class RemoteModelState:
    """What is known of a model, which is called `name` in the catalog and `remote_name` at the server of `client`."""

    def __init__(self, name: str, remote_name: str, client: EndpointClient) -> None:
        self.name = name
        self.remote_name = remote_name
        self.client = client
        self.ledger = TokenLedger()
        self.estimated = EstimatedHistory(self.ledger)
        self.tokens_per_second = 0.0
        self._counted: tuple[Counting, CountedHistory] | None = None

    @property
    def family(self) -> Family:
        """The family of the server; the unknown family until it was asked."""
        report = self.client.report
        return find_family(self.client.endpoint.family or (report.family if report else ""))

    @property
    def facts(self) -> ModelFacts:
        """The names of the model, and how much it reads: as the administrator or else the server says."""
        endpoint, report = self.client.endpoint, self.client.report
        told_tokens = report.find_model(self.remote_name).context_tokens if report else 0
        learned_tokens = self.client.learned.contexts.get(self.remote_name)
        context_tokens = endpoint.context_tokens or told_tokens or DEFAULT_CONTEXT_TOKENS
        return ModelFacts(self.name, self.remote_name, min(context_tokens, learned_tokens or context_tokens))

    def find_counted(self) -> CountedHistory | None:
        """Return the history that the server counts, if it can."""
        counting = self.family.counting
        make_counter = COUNTERS.get(counting)
        if make_counter is None or not self.client.learned.counts:
            return None
        if self._counted is None or self._counted[0] is not counting:
            # Another server may listen at the address now.
            self._counted = counting, CountedHistory(make_counter(self.client.post_json, self.remote_name))
        return self._counted[1]
