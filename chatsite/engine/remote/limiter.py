"""How many answers an endpoint writes at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HALVED_SECONDS = 60.0


class AnswerLimiter:
    """Lets `max_answers` answers work at once, in the order in which they asked; used by one event loop.

    `max_answers` may change at any time.
    """

    def __init__(self, max_answers: int) -> None:
        self.max_answers = max_answers
        self._running = 0
        self._halved_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """The number of answers that may work now: half of the usual for a minute after the server had too much."""
        is_halved = asyncio.get_running_loop().time() < self._halved_until
        return max(1, self.max_answers // 2 if is_halved else self.max_answers)

    @asynccontextmanager
    async def hold_place(self) -> AsyncIterator[None]:
        """Wait for a place and hold it within the block."""
        if self._running < self.limit and not self._waiting:
            self._running += 1
        else:
            await self._await_turn()
        try:
            yield
        finally:
            self._running -= 1
            self.give_places()

    def halve(self) -> None:
        """Halve the limit for a minute, because the server says that it has too much to do."""
        loop = asyncio.get_running_loop()
        self._halved_until = loop.time() + HALVED_SECONDS
        loop.call_at(self._halved_until, self.give_places)

    def give_places(self) -> None:
        """Give free places to those who wait longest."""
        while self._waiting and self._running < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                # Theirs from now on, so that nobody who comes later takes it.
                self._running += 1
                turn.set_result(None)

    async def _await_turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.give_places()
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.done() and not turn.cancelled():
                self._running -= 1
                self.give_places()
            raise
