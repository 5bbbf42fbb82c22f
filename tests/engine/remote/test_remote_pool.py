"""Models of endpoints in the model pool: no memory, no waiting, and nobody leaves for them."""

from __future__ import annotations

import threading

import pytest

from chatsite.engine.catalog.catalog import CatalogEntry, resolve_entry
from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel, make_entry
from chatsite.engine.model_pool import ModelPool
from chatsite.engine.outbox import Outbox
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.types import Event, Finish, FinishReason, ModelStatus, ProgressCallback, Request, Turn
from chatsite.errors import endpoints
from tests.support.trained_models import collect_events, finish_of, text_of

ENDPOINT = Endpoint("ollama", "http://127.0.0.1:11434/v1")
BUDGET = 10


class SizedEngine(ScriptedEngine):
    """The script under another name, with a size, which loads when the gate is open."""

    def __init__(self, entry: CatalogEntry, outbox: Outbox, gate: threading.Event) -> None:
        super().__init__(100_000, outbox)
        self.model = entry.name
        self._gate = gate
        self._size = 0 if entry.is_remote else BUDGET

    def load(self, on_progress: ProgressCallback) -> None:
        assert self.model.startswith("ollama/") or self._gate.wait(60)
        super().load(on_progress)

    def get_status(self) -> ModelStatus:
        return ModelStatus(self.model, is_loaded=True, memory_bytes=self._size)


def find_entry(name: str) -> CatalogEntry:
    """An entry of that name: of the endpoint, or one that fills the memory."""
    if name.startswith("ollama/"):
        return make_entry(ENDPOINT, RemoteModel(name.partition("/")[2]))
    return CatalogEntry(**{**vars(resolve_entry("scripted")), "name": name})


@pytest.fixture
def gate() -> threading.Event:
    """What local models wait for, open."""
    opened = threading.Event()
    opened.set()
    return opened


@pytest.fixture
def pool(gate: threading.Event) -> ModelPool:
    """A pool with room for one local model, which is loaded."""
    made = ModelPool(
        [find_entry("a")],
        find_entry,
        lambda entry, outbox: SizedEngine(entry, outbox, gate),
        estimate_bytes=lambda entry: BUDGET,
        budget_bytes=BUDGET,
    )
    made.load(lambda progress: None)
    return made


def ask(pool: ModelPool, number: int, model: str) -> None:
    pool.submit(Request(number, (Turn("user", "/say Done"),), model=model))


def test_remote_model_answers_beside_one_that_fills_the_memory(pool: ModelPool) -> None:
    ask(pool, 1, "ollama/llama3.2")
    assert text_of(collect_events(pool, 1)[1]) == "Done"
    assert {each.model for each in pool.list_statuses() if each.is_loaded} == {"a", "ollama/llama3.2"}


def test_remote_model_does_not_wait_for_a_load(pool: ModelPool, gate: threading.Event) -> None:
    gate.clear()
    ask(pool, 1, "b")
    ask(pool, 2, "ollama/llama3.2")
    assert text_of(collect_events(pool, 2)[2]) == "Done"
    gate.set()
    assert text_of(collect_events(pool, 1)[1]) == "Done"
    assert {each.model for each in pool.list_statuses() if each.is_loaded} == {"b", "ollama/llama3.2"}


def test_remote_model_answers_while_local_ones_wait_for_room(pool: ModelPool) -> None:
    pool.submit(Request(1, (Turn("user", "/slow " + "word " * 40_000),), model="a"))
    ask(pool, 2, "b")
    ask(pool, 3, "ollama/llama3.2")
    seen: list[Event] = []
    while not any(isinstance(event, Finish) for event in seen):
        seen += pool.poll_events(1.0)
    assert [event.request_id for event in seen if isinstance(event, Finish)] == [3]
    pool.cancel(1)
    found = collect_events(pool, 1, 2)
    assert (finish_of(found[1]).reason, text_of(found[2])) == (FinishReason.CANCELED, "Done")


def test_places_are_those_of_this_machine(pool: ModelPool) -> None:
    before = pool.capacity
    ask(pool, 1, "ollama/llama3.2")
    assert pool.capacity == before


def test_remote_model_can_be_the_default_from_the_start(gate: threading.Event) -> None:
    pool = ModelPool(
        [find_entry("ollama/llama3.2")],
        find_entry,
        lambda entry, outbox: SizedEngine(entry, outbox, gate),
        estimate_bytes=lambda entry: BUDGET,
        budget_bytes=BUDGET,
    )
    pool.load(lambda progress: None)
    ask(pool, 1, "")
    assert text_of(collect_events(pool, 1)[1]) == "Done"
    assert pool.capacity == 1


def test_endpoint_that_is_gone_is_named(pool: ModelPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(entry: CatalogEntry, outbox: Outbox) -> ScriptedEngine:
        raise endpoints.EndpointUnknownError(endpoint="ollama")

    monkeypatch.setattr(pool, "_create_engine", refuse)
    ask(pool, 1, "ollama/llama3.2")
    assert finish_of(collect_events(pool, 1)[1]).error_message == endpoints.EndpointUnknownError(endpoint="ollama")


def test_remote_model_writes_a_title_though_nobody_asked_it_before(pool: ModelPool) -> None:
    pool.submit(Request(1, (Turn("user", "/say Done"),), model="ollama/llama3.2", is_background=True))
    pool.submit(Request(2, (Turn("user", "/say Done"),), model="b", is_background=True))
    found = collect_events(pool, 1, 2)
    assert text_of(found[1]) == "Done"
    assert finish_of(found[2]).reason is FinishReason.CANCELED
