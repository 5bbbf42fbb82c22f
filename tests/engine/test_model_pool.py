"""Several models in memory: who is loaded, who leaves, who waits, and what is said when it cannot be."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from chatsite.engine.catalog.catalog import CatalogEntry, resolve_entry
from chatsite.engine.model_pool import ModelPool
from chatsite.engine.outbox import Outbox
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.types import (
    Event,
    Finish,
    FinishReason,
    GenerationOptions,
    ModelStatus,
    ProgressCallback,
    Request,
    Turn,
)
from chatsite.errors import ModelLoadError, as_error
from tests.support.served_site import wait_until
from tests.support.trained_models import collect_events, finish_of, text_of

QUESTION = "What is the capital of France?"


class Script(ScriptedEngine):
    """The script under another name, which takes some room and waits with its loading until it is let go."""

    def __init__(self, entry: CatalogEntry, outbox: Outbox, scene: Scene) -> None:
        super().__init__(100_000, outbox)
        self.model = entry.name
        self._scene = scene

    def load(self, on_progress: ProgressCallback) -> None:
        self._scene.loads.append(self.model)
        assert self._scene.gates.setdefault(self.model, open_gate()).wait(60)
        if self.model in self._scene.broken:
            raise ModelLoadError(reason=f"{self.model} is broken.")
        super().load(on_progress)

    def close(self) -> None:
        self._scene.closed.append(self.model)
        super().close()

    def get_status(self) -> ModelStatus:
        return ModelStatus(self.model, is_loaded=True, memory_bytes=self._scene.sizes[self.model])


def open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


@dataclass
class Scene:
    """What there is of models: their sizes, what keeps them from being loaded, and what happened to them."""

    sizes: dict[str, int]
    broken: set[str] = field(default_factory=set)
    gates: dict[str, threading.Event] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def pool(self, *preferred: str, budget: int = 10) -> ModelPool:
        """A shelf that holds so much."""
        return ModelPool(
            [self.entry(name) for name in preferred],
            find_entry=self.entry,
            create_engine=lambda entry, outbox: Script(entry, outbox, self),
            estimate_bytes=lambda entry: self.sizes[entry.name],
            budget_bytes=budget,
        )

    def entry(self, name: str) -> CatalogEntry:
        """An entry of that name."""
        if name not in self.sizes:
            raise ModelLoadError(reason=f"'{name}' is no model.")
        return CatalogEntry(**{**vars(resolve_entry("scripted")), "name": name, "title": name.upper()})


def request(number: int, model: str = "", text: str = "/say Done", **options: Any) -> Request:
    """A request of a model."""
    return Request(number, (Turn("user", text),), GenerationOptions(**options), model=model)


def loaded(pool: ModelPool) -> set[str]:
    """The models that are in memory."""
    return {each.model for each in pool.list_statuses() if each.is_loaded}


def answers(pool: ModelPool, *numbers: int) -> dict[int, str]:
    """The texts of answers, or why there are none, once all are over."""
    found = collect_events(pool, *numbers)
    return {number: str(finish_of(events).error_message or text_of(events)) for number, events in found.items()}


def ended(pool: ModelPool) -> set[int]:
    """The requests that are over since this was last asked."""
    return {event.request_id for event in pool.poll_events(0.05) if isinstance(event, Finish)}


@pytest.fixture
def fake_models() -> Scene:
    """Models a to d, of which two fit at a time, and one that is larger than all the room there is."""
    return Scene({"a": 4, "b": 4, "c": 4, "d": 4, "huge": 11})


@pytest.fixture
def model_pool(fake_models: Scene) -> ModelPool:
    """A shelf with a on it."""
    made = fake_models.pool("a")
    made.load(lambda progress: None)
    return made


def test_request_without_model_uses_preferred_model(model_pool: ModelPool) -> None:
    model_pool.submit(request(1))
    assert answers(model_pool, 1) == {1: "Done"}
    assert (model_pool.model, model_pool.get_status().model, loaded(model_pool)) == ("a", "a", {"a"})


def test_request_waiting_for_model_does_not_block_others(model_pool: ModelPool, fake_models: Scene) -> None:
    fake_models.gates["b"] = threading.Event()
    model_pool.submit(request(1, "b"))
    model_pool.submit(request(2, "a"))
    assert answers(model_pool, 2) == {2: "Done"}
    assert [each.model for each in model_pool.list_statuses() if not each.is_loaded] == ["b"]
    fake_models.gates["b"].set()
    assert answers(model_pool, 1) == {1: "Done"}
    assert loaded(model_pool) == {"a", "b"}


def test_least_recently_used_model_is_evicted(model_pool: ModelPool, fake_models: Scene) -> None:
    for number, model in enumerate(["b", "a", "c", "a", "b"]):
        model_pool.submit(request(number, model))
        assert answers(model_pool, number) == {number: "Done"}
    assert fake_models.closed == ["b", "c"]
    assert fake_models.loads == ["a", "b", "c", "b"]
    assert loaded(model_pool) == {"a", "b"}


def test_busy_model_is_not_evicted(model_pool: ModelPool, fake_models: Scene) -> None:
    model_pool.submit(request(1, "a", "/long 1000000", max_new_tokens=10**7))
    for number, model in [(2, "b"), (3, "c")]:
        model_pool.submit(request(number, model))
        wait_until(lambda number=number: number in ended(model_pool), what="The answer")
    assert fake_models.closed == ["b"]
    model_pool.cancel(1)
    assert finish_of(collect_events(model_pool, 1)[1]).reason is FinishReason.CANCELED


def test_models_share_limited_memory_fairly(fake_models: Scene) -> None:
    pool = fake_models.pool("a", budget=5)
    pool.load(lambda progress: None)
    pool.submit(request(0, "a", "/long 1000000", max_new_tokens=10**7))
    pool.submit(request(1, "b"))
    for number in range(2, 6):
        pool.submit(request(number, "a"))
    seen: list[Event] = []
    while len(seen) < 5:
        seen += pool.poll_events(5.0)
    assert {event.request_id for event in seen} == {0}, "all wait for the one that is at work"
    pool.cancel(0)
    found = collect_events(pool, *range(6))
    assert finish_of(found[0]).reason is FinishReason.CANCELED
    assert {text_of(found[number]) for number in range(1, 6)} == {"Done"}
    assert fake_models.loads == ["a", "b", "a"]


def test_too_large_model_is_rejected_with_message(model_pool: ModelPool) -> None:
    model_pool.submit(request(1, "huge"))
    (said,) = answers(model_pool, 1).values()
    assert said == ("Cannot load the model: HUGE needs about 0.0 GB of memory; the limit for all models is 0.0 GB.")
    assert loaded(model_pool) == {"a"}


def test_unknown_model_is_rejected_with_message(model_pool: ModelPool) -> None:
    model_pool.submit(request(1, "nothing"))
    assert answers(model_pool, 1) == {1: "Cannot load the model: 'nothing' is no model."}


def test_load_error_fails_waiting_requests_with_reason(model_pool: ModelPool, fake_models: Scene) -> None:
    fake_models.broken.add("b")
    fake_models.gates["b"] = threading.Event()
    model_pool.submit(request(1, "b"))
    model_pool.submit(request(2, "b"))
    fake_models.gates["b"].set()
    assert set(answers(model_pool, 1, 2).values()) == {"Cannot load the model: b is broken."}
    assert ModelStatus("b", is_loaded=False, failure_reason=as_error("b is broken.")) in model_pool.list_statuses()
    fake_models.broken.clear()
    model_pool.submit(request(3, "b"))
    assert answers(model_pool, 3) == {3: "Done"}
    assert not any(each.failure_reason for each in model_pool.list_statuses())


def test_waiting_request_can_be_canceled(model_pool: ModelPool, fake_models: Scene) -> None:
    fake_models.gates["b"] = threading.Event()
    model_pool.submit(request(1, "b"))
    model_pool.submit(request(2, "b"))
    model_pool.cancel(1)
    assert finish_of(collect_events(model_pool, 1)[1]).reason is FinishReason.CANCELED
    fake_models.gates["b"].set()
    assert answers(model_pool, 2) == {2: "Done"}


def test_released_model_finishes_answers_and_accepts_none(model_pool: ModelPool, fake_models: Scene) -> None:
    model_pool.submit(request(1, "b"))
    answers(model_pool, 1)
    model_pool.submit(request(2, "b", "/long 1000000", max_new_tokens=10**7))
    assert not model_pool.unload_model("b")
    model_pool.submit(request(3, "b"))
    assert loaded(model_pool) == {"a", "b"}
    model_pool.cancel(2)
    found = collect_events(model_pool, 2, 3)
    assert finish_of(found[2]).reason is FinishReason.CANCELED
    assert str(finish_of(found[3]).error_message) == "Cannot load the model: B is being removed."
    assert model_pool.unload_model("b")
    assert (loaded(model_pool), fake_models.closed) == ({"a"}, ["b"])
    model_pool.submit(request(4, "b"))
    assert answers(model_pool, 4) == {4: "Done"}


def test_preferred_model_can_be_changed(model_pool: ModelPool) -> None:
    model_pool.set_default("b")
    assert model_pool.model == "b"
    wait_until(lambda: loaded(model_pool) == {"a", "b"}, 10, "The loading")


def test_old_model_answers_when_new_one_fails(model_pool: ModelPool, fake_models: Scene) -> None:
    fake_models.broken.add("b")
    model_pool.set_default("b")
    wait_until(lambda: any(each.failure_reason for each in model_pool.list_statuses()), 10, "The failure")
    model_pool.submit(request(1))
    assert answers(model_pool, 1) == {1: "Done"}
    assert model_pool.model == "a"


def test_first_loadable_model_becomes_preferred(fake_models: Scene) -> None:
    fake_models.broken |= {"a"}
    pool = fake_models.pool("a", "b")
    pool.load(lambda progress: None)
    assert (pool.model, loaded(pool)) == ("b", {"b"})
    fake_models.broken |= {"b"}
    with pytest.raises(ModelLoadError, match="b is broken"):
        fake_models.pool("a", "b").load(lambda progress: None)


def test_waiting_requests_do_not_reduce_capacity(model_pool: ModelPool, fake_models: Scene) -> None:
    places = model_pool.capacity
    fake_models.gates["b"] = threading.Event()
    for number in range(5):
        model_pool.submit(request(number, "b"))
    assert model_pool.capacity == places + 5
    fake_models.gates["b"].set()
    answers(model_pool, *range(5))
    assert model_pool.capacity == 2 * places


def test_close_ends_all_models_including_loading_ones(model_pool: ModelPool, fake_models: Scene) -> None:
    fake_models.gates["b"] = threading.Event()
    model_pool.submit(request(1, "b"))
    model_pool.close()
    fake_models.gates["b"].set()
    wait_until(lambda: sorted(fake_models.closed) == ["a", "b"], 10, "The end of both")


@pytest.mark.parametrize("place", ["_find_entry", "_estimate_bytes", "_create_engine"])
def test_unexpected_error_of_one_model_ends_its_requests_only(model_pool: ModelPool, place: str) -> None:
    real = getattr(model_pool, place)

    def break_b(first: Any, *others: Any) -> Any:
        if "b" in (first, getattr(first, "name", "")):
            raise ValueError("Expecting value: line 1 column 1 (char 0)")
        return real(first, *others)

    setattr(model_pool, place, break_b)
    for number, model in enumerate(("a", "b", "c"), start=1):
        model_pool.submit(request(number, model))
    found = answers(model_pool, 1, 2, 3)
    assert (found[1], found[3]) == ("Done", "Done")
    assert "Expecting value" in found[2]


def test_background_request_is_taken_only_by_a_loaded_model() -> None:
    scene = Scene({"a": 1, "b": 1})
    pool = scene.pool("a")
    pool.load(lambda progress: None)
    pool.submit(replace(request(1, "b"), is_background=True))
    assert finish_of(collect_events(pool, 1)[1]).reason is FinishReason.CANCELED
    assert scene.loads == ["a"]
    for number, model in ((2, "a"), (3, "")):
        pool.submit(replace(request(number, model), is_background=True))
        assert text_of(collect_events(pool, number)[number]) == "Done"
    pool.close()
