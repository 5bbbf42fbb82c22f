"""The engine as callers of one event loop use it: answers, limits, stops, and what its health is."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator

import pytest

from chatsite.engine.outbox import Outbox
from chatsite.engine.scripted import ScriptedEngine, reply_for
from chatsite.engine.serving import engine_service
from chatsite.engine.serving.api_error import ApiError
from chatsite.engine.serving.chat_call import ChatCall
from chatsite.engine.serving.engine_service import EngineService
from chatsite.engine.types import Delta, Event, GenerationOptions, Request, Turn


class HangingEngine(ScriptedEngine):
    """Takes up requests and does nothing, until they are canceled."""

    canceled_ids: list[int]

    def submit(self, request: Request) -> None:
        """Leave the request alone."""

    def cancel(self, request_id: int) -> None:
        """Note that it was called."""
        self.canceled_ids = [*getattr(self, "canceled_ids", []), request_id]


def make_service(engine_class: type[ScriptedEngine], max_calls: int = 2) -> tuple[EngineService, ScriptedEngine]:
    outbox: Outbox = queue.SimpleQueue()
    engine = engine_class(1000.0, outbox)
    engine.load(lambda progress: None)
    return EngineService(engine, outbox, max_calls=max_calls), engine


@pytest.fixture
def hanging() -> Iterator[tuple[EngineService, HangingEngine]]:
    service, engine = make_service(HangingEngine)
    assert isinstance(engine, HangingEngine)
    yield service, engine
    service.close()


def call(text: str) -> ChatCall:
    return ChatCall((Turn("user", text),), GenerationOptions())


async def read(service: EngineService, text: str) -> list[Event]:
    return [event async for events in service.answer(call(text)) for event in events]


def test_answers_come_side_by_side() -> None:
    async def read_both() -> list[list[Event]]:
        return list(await asyncio.gather(read(service, "/say One."), read(service, "Hello")))

    service, _ = make_service(ScriptedEngine)
    answers = asyncio.run(read_both())
    service.close()
    texts = ["".join(event.text for event in events if isinstance(event, Delta)) for events in answers]
    assert texts == ["One.", reply_for("Hello")]
    assert service.call_count == 0


def test_whoever_waits_may_leave(hanging: tuple[EngineService, HangingEngine]) -> None:
    async def leave() -> None:
        waiting = asyncio.ensure_future(read(service, "Hello"))
        await asyncio.sleep(0)
        assert service.call_count == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    service, engine = hanging
    asyncio.run(leave())
    assert (service.call_count, engine.canceled_ids) == (0, [1])


def test_what_is_too_much_is_refused_at_once(hanging: tuple[EngineService, HangingEngine]) -> None:
    async def ask_thrice() -> ApiError:
        waiting = [asyncio.ensure_future(read(service, "Hello")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as refused:
            await read(service, "Hello")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return refused.value

    service, _ = hanging
    error = asyncio.run(ask_thrice())
    assert (error.status, error.headers) == (429, {"Retry-After": "3"})


def test_an_engine_that_hangs_with_work_to_do_has_no_health(
    hanging: tuple[EngineService, HangingEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        waiting = asyncio.ensure_future(read(service, "Hello"))
        await asyncio.sleep(0)
        assert service.is_healthy
        monkeypatch.setattr(engine_service, "STALL_SECONDS", -1.0)
        assert not service.is_healthy
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        # Without work to do silence means nothing.
        assert service.is_healthy

    service, _ = hanging
    asyncio.run(hang())
