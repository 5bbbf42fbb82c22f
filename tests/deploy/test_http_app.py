"""The interface of the engine over real HTTP, without Ray: streams, refusals, and clients that go away."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest
import uvicorn
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from chatsite.engine.outbox import Outbox
from chatsite.engine.scripted import ScriptedEngine, reply_for
from chatsite.engine.serving import engine_service
from chatsite.engine.serving.chat_call import CallLimits
from chatsite.engine.serving.engine_service import EngineService
from chatsite.engine.types import Finish, FinishReason, Request
from chatsite.errors import EngineDiedError
from deploy.ray.http_app import MAX_BODY_BYTES, create_http_app
from tests.deploy.chat_client import ChatClient
from tests.support.served_site import find_free_port, wait_until

MAX_CALLS = 3
FAIL: Any = {"role": "user", "content": "/fail"}


class DyingEngine(ScriptedEngine):
    """Dies of every question."""

    def submit(self, request: Request) -> None:
        """End the request as the engine does whose thread has died."""
        self._outbox.put(Finish(request.id, FinishReason.ERROR, EngineDiedError()))


@dataclass
class Served:
    """An interface that listens, and the service behind it."""

    client: ChatClient
    service: EngineService


@contextlib.contextmanager
def serving(engine_class: type[ScriptedEngine] = ScriptedEngine) -> Iterator[Served]:
    outbox: Outbox = queue.SimpleQueue()
    engine = engine_class(100.0, outbox)
    engine.load(lambda progress: None)
    limits = CallLimits(max_new_tokens=1000)
    service = EngineService(engine, outbox, max_calls=MAX_CALLS, limits=limits, context_tokens=2000)
    port = find_free_port()
    config = uvicorn.Config(create_http_app(lambda: service), host="127.0.0.1", port=port, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_until(lambda: server.started, what="The start of the server")
        yield Served(ChatClient(port), service)
    finally:
        server.should_exit = True
        thread.join()
        service.close()


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as running:
        yield running


def test_the_list_names_the_model_and_its_context_window(served: Served) -> None:
    listed = served.client.get_json("/v1/models")
    (model,) = listed["data"]
    assert listed["object"] == "list"
    assert (model["id"], model["object"], model["owned_by"]) == ("scripted", "model", "chatsite")
    assert (model["max_model_len"], model["context_length"]) == (2000, 2000)
    assert served.client.get_json("/v1/models/scripted") == model


def test_a_stream_and_a_completion_say_the_same(served: Served) -> None:
    stream = served.client.stream("Hello there")
    chunks = stream.read_all()
    assert stream.response.getheader("Content-Type", "").startswith("text/event-stream")
    assert stream.response.getheader("Cache-Control") == "no-store"
    assert stream.text == reply_for("Hello there")
    assert chunks[-1]["choices"] == []
    whole = served.client.complete("Hello there")
    assert whole["choices"][0]["message"]["content"] == stream.text
    assert whole["choices"][0]["finish_reason"] == chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"] == chunks[-1]["usage"]
    assert whole["usage"]["prompt_tokens"] == 2


def test_what_is_sent_is_what_the_types_of_openai_demand(served: Served) -> None:
    """The package itself takes whatever comes; its types do not."""
    Model.model_validate(served.client.get_json("/v1/models/scripted"), strict=True)
    ChatCompletion.model_validate(served.client.complete("Hello there"), strict=True)
    chunks = served.client.stream("/think First this. => Then that.").read_all()
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert all(isinstance(chunk["choices"], list) for chunk in chunks)


def test_the_package_of_openai_reads_it(served: Served) -> None:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{served.client.port}/v1", api_key="none", max_retries=0) as client:
        asked: Any = {"model": "scripted", "messages": [{"role": "user", "content": "/say One two."}]}
        chunks = list(client.chat.completions.create(**asked, stream=True))
        assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "One two."
        assert [model.id for model in client.models.list()] == ["scripted"]
        with pytest.raises(openai.NotFoundError, match="no model 'other'"):
            client.chat.completions.create(**{**asked, "model": "other"})
        with pytest.raises(openai.APIError, match="script was asked to fail"):
            list(client.chat.completions.create(model="scripted", messages=[FAIL], stream=True))


def test_what_is_thought_comes_apart_from_the_answer(served: Served) -> None:
    stream = served.client.stream("/think First this. => Then that.")
    thought = "".join(
        choice["delta"].get("reasoning_content", "") for chunk in stream.read_all() for choice in chunk["choices"]
    )
    assert (thought, stream.text) == ("First this.", "Then that.")
    usage = stream.chunks[-1]["usage"]
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]
    message = served.client.complete("/think First this. => Then that.")["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("First this.", "Then that.")


def test_an_answer_goes_on_after_its_beginning(served: Served) -> None:
    beginning = "A short answ"
    stream = served.client.stream("/say A short answer.", beginning=beginning)
    stream.read_all()
    assert beginning + stream.text == "A short answer."
    whole = served.client.complete("/say A short answer.", beginning=beginning)
    assert whole["choices"][0]["message"]["content"] == "er."


def test_an_answer_ends_at_the_limit_of_its_length(served: Served) -> None:
    whole = served.client.complete("/long 50", max_tokens=3)
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["completion_tokens"] == 3


def test_a_failed_answer_never_ends_quietly(served: Served) -> None:
    stream = served.client.stream("/fail")
    with pytest.raises(AssertionError, match="script_failed"):
        stream.read_all()
    status, _, body = served.client.post({"model": "scripted", "messages": [{"role": "user", "content": "/fail"}]})
    assert (status, body["error"]["code"], body["error"]["type"]) == (500, "script_failed", "server_error")


def test_whoever_goes_away_ends_the_work(served: Served) -> None:
    stream = served.client.stream("/long 900")
    stream.read_text(20)
    assert served.service.call_count == 1
    stream.close()
    wait_until(lambda: served.service.call_count == 0, what="The end of the answer")


def test_too_many_calls_are_told_when_to_come_back(served: Served) -> None:
    streams = [served.client.stream("/long 900") for _ in range(MAX_CALLS)]
    for stream in streams:
        stream.read_text(1)
    status, headers, body = served.client.post(
        {"model": "scripted", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    )
    assert (status, headers["retry-after"]) == (429, "3")
    assert (body["error"]["code"], body["error"]["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    streams[0].close()
    wait_until(lambda: served.service.call_count < MAX_CALLS, what="The end of an answer")
    assert served.client.complete("/say Now.")["choices"][0]["message"]["content"] == "Now."
    for stream in streams[1:]:
        stream.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "unknown_url"),
        ("GET", "/v1/models/other", 404, "model_not_found"),
        ("GET", "/v1/chat/completions", 405, None),
        ("POST", "/v1/chat/completions", 400, None),
    ],
)
def test_refusals_have_the_form_of_the_interface(
    served: Served, method: str, path: str, status: int, code: str | None
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.client.port, timeout=30)
    connection.request(method, path)
    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    connection.close()
    assert (response.status, error["code"]) == (status, code)
    assert error["type"] == "invalid_request_error"


def test_a_body_without_an_end_is_refused(served: Served) -> None:
    body: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "x" * MAX_BODY_BYTES}]}
    status, _, refusal = served.client.post(body)
    assert (status, refusal["error"]["code"]) == (413, "too_large")


def test_a_dead_engine_is_told_by_its_health() -> None:
    with serving(DyingEngine) as served:
        assert served.client.get_json("/healthz") == {"status": "ok", "in_progress": 0}
        status, _, body = served.client.post({"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]})
        assert (status, body["error"]["code"]) == (500, "engine_died")
        assert not served.service.is_healthy
        status, _, body = served.client.get("/healthz")
        assert (status, body) == (503, {"status": "failed", "in_progress": 0})


def test_a_silent_answer_keeps_its_connection_alive(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_service, "KEEP_ALIVE_SECONDS", 0.01)
    stream = served.client.stream("/slow Well, this takes some time.")
    stream.read_all()
    assert stream.text == "Well, this takes some time."
    assert stream.comment_count > 0
