"""Hosts whose clocks are an hour apart share a database: what is there for one of them is there for the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import select

from chatsite.database import db, utcnow, write_transaction
from chatsite.engine.catalog.endpoints import Endpoint
from chatsite.errors import ConversationNotFoundError
from chatsite.models import Conversation, EndpointState, Runner, RunnerState, StoredEndpoint
from chatsite.services.chat import claim_selection, conversations, messages, temporary
from chatsite.services.chat.claim_selection import RunnerModels
from chatsite.services.models import endpoint_status, endpoints, runners
from tests.conftest import LIMITS, People

LEASE = 5.0
on_server = pytest.mark.parametrize("any_app", ["postgresql"], indirect=True)
hours_apart = pytest.mark.parametrize("hours", [1, -1])


@contextmanager
def on_host(hours: float) -> Iterator[None]:
    """Run the block on a host whose clock is so many hours ahead."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("chatsite.") and getattr(module, "utcnow", None) is utcnow:
                patch.setattr(module, "utcnow", lambda: utcnow() + timedelta(hours=hours))
        yield


def begin_temporary_chat(people: People) -> Conversation:
    new, question = messages.NewConversation("Hush", is_temporary=True), messages.NewMessage("Hush")
    return messages.start_conversation(people.alice, new, question, limits=LIMITS).conversation


@hours_apart
def test_heartbeat_of_another_hour_is_no_live_runner(people: People, hours: int) -> None:
    runners.heartbeat("runner", "scripted", RunnerState.READY, reached_endpoints=["box"])
    assert runners.find_current(LEASE)
    assert runners.is_reached_elsewhere("box", "another", LEASE)
    with write_transaction() as tx:
        tx.get_one(Runner, "runner").heartbeat_at = utcnow() + timedelta(hours=hours)
    assert runners.find_current(LEASE) is None
    assert not runners.is_reached_elsewhere("box", "another", LEASE)
    runners.heartbeat("runner", "scripted", RunnerState.READY)
    assert runners.find_current(LEASE)


@on_server
@hours_apart
def test_runner_on_a_wrong_host_is_alive(people: People, hours: int) -> None:
    with on_host(hours):
        runners.heartbeat("runner", "scripted", RunnerState.READY)
    assert runners.find_current(LEASE)
    runners.heartbeat("another", "scripted", RunnerState.READY)
    with on_host(hours):
        assert runners.find_current(LEASE)


@on_server
@hours_apart
def test_temporary_chat_lasts_on_all_hosts(people: People, hours: int) -> None:
    """The one host serves its page, the other cleans up, and the other way round."""
    begun_here = begin_temporary_chat(people)
    with on_host(hours):
        begun_there = begin_temporary_chat(people)
        temporary.expire_soon(begun_here)
        assert conversations.get(people.alice, begun_here.public_id)
        assert not temporary.delete_expired()
    temporary.expire_soon(begun_there)
    assert not temporary.delete_expired()
    for conversation in (begun_here, begun_there):
        assert conversations.get(people.alice, conversation.public_id) is conversation
        db.session.refresh(conversation)
        assert conversation.expires_at
        assert timedelta(0) < conversation.expires_at - utcnow() <= temporary.LEAVE_GRACE


@on_server
@hours_apart
def test_expired_temporary_chat_is_gone_on_all_hosts(people: People, hours: int) -> None:
    conversation = begin_temporary_chat(people)
    with write_transaction():
        conversation.expires_at = utcnow() - timedelta(seconds=1)
    with on_host(hours):
        with pytest.raises(ConversationNotFoundError):
            conversations.get(people.alice, conversation.public_id)
        assert not temporary.delete_expired()
    assert db.session.scalar(select(Conversation.id)) is None


@on_server
@hours_apart
def test_look_for_servers_is_carried_out_by_another_host(people: People, hours: int) -> None:
    endpoints.request_discovery()
    with on_host(hours):
        assert endpoints.get_discovery_status().is_looking
        assert endpoint_status.has_discovery_request()
        assert endpoint_status.claim_discovery()
    assert not endpoint_status.claim_discovery()


@on_server
@hours_apart
def test_endpoint_of_another_host_is_still_somebodys(people: People, hours: int) -> None:
    endpoint = Endpoint("box", "http://127.0.0.1:9/v1")
    with on_host(hours):
        endpoint_status.save_facts(endpoint, endpoint_status.EndpointFacts("unknown", (), {}, 1))
    row = db.session.get_one(StoredEndpoint, "box")
    assert row.state is EndpointState.READY
    assert claim_selection._find_unknown(RunnerModels()).endpoints == {"box"}
