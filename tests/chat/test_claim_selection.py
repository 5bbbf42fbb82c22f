"""Which runner claims what: by the models that it has, and by the places of endpoints."""

from __future__ import annotations

import threading
from datetime import timedelta

from flask import Flask
from sqlalchemy import update

from chatsite.database import db, utcnow, write_transaction
from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel
from chatsite.errors import endpoints as endpoint_errors
from chatsite.models import RunnerState, Status, StoredEndpoint, User
from chatsite.services.chat import claim_selection, generation_leases, messages
from chatsite.services.chat.claim_selection import RunnerModels
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.models import endpoint_status, runners
from chatsite.services.models.choice import ModelChoice
from chatsite.services.models.endpoint_status import EndpointFacts
from tests.conftest import LIMITS, People

LEASE_SECONDS = 5.0
OLLAMA = Endpoint("ollama", "http://127.0.0.1:11434/v1")
LOCAL = RunnerModels(frozenset({"scripted"}))
BOTH = RunnerModels(frozenset({"scripted"}), frozenset({"ollama"}), frozenset({"ollama"}))


def ask(user: User, token: str, model: str) -> int:
    """Queue an answer by a model, which need not exist."""
    answer = messages.start_conversation(
        user,
        messages.NewConversation("Hi"),
        messages.NewMessage("Hi", token),
        limits=LIMITS,
        choice=ModelChoice(model),
    ).answer
    assert answer.generation
    return answer.generation.id


def save_ollama(places: int = 2) -> None:
    endpoint_status.save_facts(OLLAMA, EndpointFacts("ollama", [RemoteModel("llama")], max_answers=places))


def claim(models: RunnerModels, owner: str = "first", places: int = 4) -> list[ClaimedGeneration]:
    return generation_leases.claim(owner, places, LEASE_SECONDS, max_attempts=2, models=models)


def heartbeat(owner: str, models: RunnerModels) -> None:
    runners.heartbeat(owner, "scripted", RunnerState.READY, local_models=models.local, reached_endpoints=models.reached)


def ids(claims: list[ClaimedGeneration]) -> list[int]:
    return [each.generation_id for each in claims]


def test_runner_leaves_to_others_what_only_they_can_answer(people: People) -> None:
    remote, local = ask(people.alice, "t1", "ollama/llama"), ask(people.bob, "t2", "scripted")
    save_ollama()
    heartbeat("second", BOTH)
    assert ids(claim(LOCAL)) == [local]
    assert not claim_selection.has_claimable("first", LOCAL, max_local=4, lease_seconds=LEASE_SECONDS)
    [claimed] = claim(BOTH, "second")
    assert (claimed.generation_id, claimed.endpoint) == (remote, "ollama")


def test_what_no_living_runner_can_answer_is_claimed(people: People) -> None:
    """It fails with its reason, and does not wait for ever."""
    asked = ask(people.alice, "t1", "nobody/knows")
    assert ids(claim(LOCAL)) == [asked]


def test_dead_runner_keeps_nothing(people: People) -> None:
    asked = ask(people.alice, "t1", "their-model")
    heartbeat("dead", RunnerModels(frozenset({"their-model"})))
    assert claim(LOCAL) == []
    runners.deregister("dead")
    assert ids(claim(LOCAL)) == [asked]


def test_runner_of_earlier_version_keeps_nothing(people: People) -> None:
    asked = ask(people.alice, "t1", "their-model")
    runners.heartbeat("old", "their-model", RunnerState.READY)
    assert ids(claim(LOCAL)) == [asked]


def test_endpoint_that_failed_here_is_left_to_whom_it_answers(people: People) -> None:
    asked = ask(people.alice, "t1", "ollama/llama")
    save_ollama()
    heartbeat("second", BOTH)
    unreached = RunnerModels(frozenset({"scripted"}), frozenset({"ollama"}))
    assert claim(unreached) == []
    assert ids(claim(BOTH, "second")) == [asked]


def test_runners_share_places_of_endpoint(people: People) -> None:
    save_ollama(places=2)
    asked = [ask(user, f"t{n}", "ollama/llama") for n, user in enumerate([people.alice, people.bob, people.alice])]
    local = ask(people.bob, "t9", "scripted")
    first = claim(BOTH, "first", places=1)
    # What an endpoint writes takes no place here.
    assert ids(first) == [*asked[:2], local]
    assert claim(BOTH, "second") == []
    assert not claim_selection.has_claimable("second", BOTH, max_local=4, lease_seconds=LEASE_SECONDS)
    news = GenerationUpdate(first[0].attempts, status=Status.DONE, finish_reason="end")
    generation_leases.heartbeat("first", {asked[0]: news}, LEASE_SECONDS)
    assert ids(claim(BOTH, "second")) == [asked[2]]


def test_local_places_do_not_bound_endpoints(people: People) -> None:
    save_ollama()
    local, remote = ask(people.alice, "t1", "scripted"), ask(people.bob, "t2", "ollama/llama")
    assert ids(claim(BOTH, places=0)) == [remote]
    assert ids(claim(BOTH, places=1)) == [local]


def test_busy_endpoint_is_waited_for(people: People) -> None:
    save_ollama()
    asked = ask(people.alice, "t1", "ollama/llama")
    endpoint_status.save_block("ollama", 60, None)
    assert claim(BOTH) == []
    with write_transaction() as tx:
        tx.execute(update(StoredEndpoint).values(blocked_until=utcnow() - timedelta(seconds=1)))
    assert ids(claim(BOTH)) == [asked]


def test_failed_endpoint_refuses_at_once_with_its_reason(people: People) -> None:
    save_ollama(places=1)
    asked = [ask(people.alice, "t1", "ollama/llama"), ask(people.bob, "t2", "ollama/llama")]
    error = endpoint_errors.EndpointUnreachableError(endpoint="ollama")
    endpoint_status.save_block("ollama", 60, error)
    claimed = claim(BOTH)
    assert ids(claimed) == asked
    assert {str(each.refusal) for each in claimed} == {"ollama cannot be reached."}
    save_ollama()
    assert claim(BOTH) == []
    generation_leases.release("first")
    assert [each.refusal for each in claim(BOTH)] == [None, None]


def test_failed_endpoint_is_tried_again_when_its_pause_is_over(people: People) -> None:
    save_ollama()
    asked = ask(people.alice, "t1", "ollama/llama")
    endpoint_status.save_failure(OLLAMA, endpoint_errors.EndpointUnreachableError(endpoint="ollama"))
    [claimed] = claim(BOTH)
    assert (claimed.generation_id, claimed.refusal) == (asked, None)


def test_endpoint_state_survives_another_address_under_its_name(people: People) -> None:
    save_ollama()
    moved = Endpoint("ollama", "http://127.0.0.1:9/v1")
    endpoint_status.save_failure(moved, endpoint_errors.EndpointUnreachableError(endpoint="ollama"))
    assert endpoint_status.find_facts(OLLAMA) is None
    facts = endpoint_status.find_facts(moved)
    assert facts is not None
    assert list(facts.models) == []


def test_runners_that_claim_at_once_share_places(any_app: Flask, people: People) -> None:
    save_ollama(places=2)
    for number in range(6):
        ask(people.alice if number % 2 else people.bob, f"t{number}", "ollama/llama")
    claimed: list[int] = []
    barrier = threading.Barrier(4)

    def claim_as(owner: str) -> None:
        with any_app.app_context():
            barrier.wait()
            claimed.extend(ids(claim(BOTH, owner)))
            db.session.remove()

    threads = [threading.Thread(target=claim_as, args=(f"runner{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 2
