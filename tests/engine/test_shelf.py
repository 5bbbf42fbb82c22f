"""Several models in memory: who is loaded, who leaves, who waits, and what is said when it cannot be."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from chatsite.engine import Event, Finish, FinishReason, Options, Report, Request, Residence, Turn
from chatsite.engine.catalogue import Entry, resolve
from chatsite.engine.member import Outbox
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.shelf import Shelf
from chatsite.errors import ModelUnavailableError
from tests.engine.support import finish_of, gather, text_of
from tests.site import until

QUESTION = "What is the capital of France?"


class Script(ScriptedEngine):
    """The script under another name, which takes some room and waits with its loading until it is let go."""

    def __init__(self, entry: Entry, outbox: Outbox, scene: Scene) -> None:
        super().__init__(100_000, outbox)
        self.model = entry.name
        self._scene = scene

    def load(self, report: Report) -> None:
        self._scene.loads.append(self.model)
        assert self._scene.gates.setdefault(self.model, open_gate()).wait(20)
        if self.model in self._scene.broken:
            raise ModelUnavailableError(reason=f"{self.model} is broken.")
        super().load(report)

    def close(self) -> None:
        self._scene.closed.append(self.model)
        super().close()

    def residence(self) -> Residence:
        return Residence(self.model, loaded=True, memory=self._scene.sizes[self.model])


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

    def shelf(self, *preferred: str, budget: int = 10) -> Shelf:
        """A shelf that holds so much."""
        return Shelf(
            [self.entry(name) for name in preferred],
            find=self.entry,
            build=lambda entry, outbox: Script(entry, outbox, self),
            estimate=lambda entry: self.sizes[entry.name],
            budget=budget,
        )

    def entry(self, name: str) -> Entry:
        """An entry of that name."""
        if name not in self.sizes:
            raise ModelUnavailableError(reason=f"'{name}' is no model.")
        return Entry(**{**vars(resolve("scripted")), "name": name, "title": name.upper()})


def request(number: int, model: str = "", text: str = "/say Done", **options: Any) -> Request:
    """A request of a model."""
    return Request(number, (Turn("user", text),), Options(**options), model=model)


def loaded(shelf: Shelf) -> set[str]:
    """The models that are in memory."""
    return {each.model for each in shelf.residences() if each.loaded}


def answers(shelf: Shelf, *numbers: int) -> dict[int, str]:
    """The texts of answers, or why there are none, once all are over."""
    found = gather(shelf, *numbers)
    return {number: finish_of(events).error or text_of(events) for number, events in found.items()}


def ended(shelf: Shelf) -> set[int]:
    """The requests that are over since this was last asked."""
    return {event.request_id for event in shelf.events(0.05) if isinstance(event, Finish)}


@pytest.fixture
def scene() -> Scene:
    """Models a to d, of which two fit at a time, and one that is larger than all the room there is."""
    return Scene({"a": 4, "b": 4, "c": 4, "d": 4, "huge": 11})


@pytest.fixture
def shelf(scene: Scene) -> Shelf:
    """A shelf with a on it."""
    made = scene.shelf("a")
    made.load(lambda progress: None)
    return made


def test_who_names_no_model_is_answered_by_the_preferred_one(shelf: Shelf) -> None:
    shelf.submit(request(1))
    assert answers(shelf, 1) == {1: "Done"}
    assert (shelf.model, shelf.residence().model, loaded(shelf)) == ("a", "a", {"a"})


def test_a_request_waits_for_its_model_while_others_are_answered(shelf: Shelf, scene: Scene) -> None:
    scene.gates["b"] = threading.Event()
    shelf.submit(request(1, "b"))
    shelf.submit(request(2, "a"))
    assert answers(shelf, 2) == {2: "Done"}
    assert [each.model for each in shelf.residences() if not each.loaded] == ["b"]
    scene.gates["b"].set()
    assert answers(shelf, 1) == {1: "Done"}
    assert loaded(shelf) == {"a", "b"}


def test_the_least_recently_used_one_leaves_first(shelf: Shelf, scene: Scene) -> None:
    for number, model in enumerate(["b", "a", "c", "a", "b"]):
        shelf.submit(request(number, model))
        assert answers(shelf, number) == {number: "Done"}
    assert scene.closed == ["b", "c"]
    assert scene.loads == ["a", "b", "c", "b"]
    assert loaded(shelf) == {"a", "b"}


def test_one_that_is_at_work_does_not_leave(shelf: Shelf, scene: Scene) -> None:
    shelf.submit(request(1, "a", "/long 100000", max_new_tokens=10**6))
    for number, model in [(2, "b"), (3, "c")]:
        shelf.submit(request(number, model))
        until(lambda number=number: number in ended(shelf), what="The answer")
    assert scene.closed == ["b"]
    shelf.cancel(1)
    assert finish_of(gather(shelf, 1)[1]).reason is FinishReason.CANCELLED


def test_where_there_is_no_room_each_has_its_turn(scene: Scene) -> None:
    shelf = scene.shelf("a", budget=5)
    shelf.load(lambda progress: None)
    shelf.submit(request(0, "a", "/long 100000", max_new_tokens=10**6))
    shelf.submit(request(1, "b"))
    for number in range(2, 6):
        shelf.submit(request(number, "a"))
    seen: list[Event] = []
    while len(seen) < 5:
        seen += shelf.events(5.0)
    assert {event.request_id for event in seen} == {0}, "all wait for the one that is at work"
    shelf.cancel(0)
    found = gather(shelf, *range(6))
    assert finish_of(found[0]).reason is FinishReason.CANCELLED
    assert {text_of(found[number]) for number in range(1, 6)} == {"Done"}
    assert scene.loads == ["a", "b", "a"]


def test_a_model_that_never_fits_is_refused_with_a_sentence(shelf: Shelf) -> None:
    shelf.submit(request(1, "huge"))
    (said,) = answers(shelf, 1).values()
    assert said == (
        "The model cannot be loaded: HUGE needs about 0.0 GB of memory, and all models together may take 0.0 GB."
    )
    assert loaded(shelf) == {"a"}


def test_a_name_that_means_nothing_is_refused_with_a_sentence(shelf: Shelf) -> None:
    shelf.submit(request(1, "nothing"))
    assert answers(shelf, 1) == {1: "The model cannot be loaded: 'nothing' is no model."}


def test_who_waits_for_a_model_that_cannot_be_loaded_is_told_why(shelf: Shelf, scene: Scene) -> None:
    scene.broken.add("b")
    scene.gates["b"] = threading.Event()
    shelf.submit(request(1, "b"))
    shelf.submit(request(2, "b"))
    scene.gates["b"].set()
    assert set(answers(shelf, 1, 2).values()) == {"The model cannot be loaded: b is broken."}
    assert Residence("b", loaded=False, reason="b is broken.") in shelf.residences()
    scene.broken.clear()
    shelf.submit(request(3, "b"))
    assert answers(shelf, 3) == {3: "Done"}
    assert not any(each.reason for each in shelf.residences())


def test_what_waits_can_be_cancelled(shelf: Shelf, scene: Scene) -> None:
    scene.gates["b"] = threading.Event()
    shelf.submit(request(1, "b"))
    shelf.submit(request(2, "b"))
    shelf.cancel(1)
    assert finish_of(gather(shelf, 1)[1]).reason is FinishReason.CANCELLED
    scene.gates["b"].set()
    assert answers(shelf, 2) == {2: "Done"}


def test_a_released_model_finishes_its_answers_and_takes_no_more(shelf: Shelf, scene: Scene) -> None:
    shelf.submit(request(1, "b"))
    answers(shelf, 1)
    shelf.submit(request(2, "b", "/long 100000", max_new_tokens=10**6))
    assert not shelf.release("b")
    shelf.submit(request(3, "b"))
    assert loaded(shelf) == {"a", "b"}
    shelf.cancel(2)
    found = gather(shelf, 2, 3)
    assert finish_of(found[2]).reason is FinishReason.CANCELLED
    assert finish_of(found[3]).error == "The model cannot be loaded: B is being removed from this machine."
    assert shelf.release("b")
    assert (loaded(shelf), scene.closed) == ({"a"}, ["b"])
    shelf.submit(request(4, "b"))
    assert answers(shelf, 4) == {4: "Done"}


def test_another_model_can_become_the_preferred_one(shelf: Shelf) -> None:
    shelf.prefer("b")
    assert shelf.model == "b"
    until(lambda: loaded(shelf) == {"a", "b"}, 10, "The loading")


def test_where_the_new_one_cannot_be_loaded_the_old_one_answers(shelf: Shelf, scene: Scene) -> None:
    scene.broken.add("b")
    shelf.prefer("b")
    until(lambda: any(each.reason for each in shelf.residences()), 10, "The failure")
    shelf.submit(request(1))
    assert answers(shelf, 1) == {1: "Done"}
    assert shelf.model == "a"


def test_the_first_that_can_be_loaded_is_the_preferred_one(scene: Scene) -> None:
    scene.broken |= {"a"}
    shelf = scene.shelf("a", "b")
    shelf.load(lambda progress: None)
    assert (shelf.model, loaded(shelf)) == ("b", {"b"})
    scene.broken |= {"b"}
    with pytest.raises(ModelUnavailableError, match="b is broken"):
        scene.shelf("a", "b").load(lambda progress: None)


def test_who_waits_takes_no_place_from_the_others(shelf: Shelf, scene: Scene) -> None:
    places = shelf.capacity
    scene.gates["b"] = threading.Event()
    for number in range(5):
        shelf.submit(request(number, "b"))
    assert shelf.capacity == places + 5
    scene.gates["b"].set()
    answers(shelf, *range(5))
    assert shelf.capacity == 2 * places


def test_closing_ends_all_also_what_is_loaded_only_then(shelf: Shelf, scene: Scene) -> None:
    scene.gates["b"] = threading.Event()
    shelf.submit(request(1, "b"))
    shelf.close()
    scene.gates["b"].set()
    until(lambda: sorted(scene.closed) == ["a", "b"], 10, "The end of both")
