"""Reads many streams at once, in a process of its own: `python -m benchmarks.readers PLAN`, which prints a JSON object.

A stamp is the moment at which the engine made a token; its lag is how much later its event arrived here. Stamps made
before all streams were open do not count.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STAMP = re.compile(rb"at(\d{19})z")
LONGEST_STAMP = 32
BETWEEN_OPENINGS = 0.005
SETTLING_SECONDS = 1.0


@dataclass
class Plan:
    """What to read: the port, `[path, token]` of each stream, and after how many seconds of measuring to leave."""

    port: int
    streams: list[list[str]]
    seconds: float


@dataclass
class Reading:
    """What was read."""

    lags: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    cut: int = 0
    bytes: int = 0


class Readers:
    """All readers of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._start = sys.maxsize
        self._end = sys.maxsize
        self.reading = Reading()

    async def run(self) -> None:
        """Open the streams one by one, measure for a while, and leave."""
        tasks = []
        for path, token in self._plan.streams:
            tasks.append(asyncio.create_task(self._read(path, token)))
            await asyncio.sleep(BETWEEN_OPENINGS)
        await asyncio.sleep(SETTLING_SECONDS)
        self._start = time.time_ns()
        self._end = self._start + int(self._plan.seconds * 1e9)
        print("measuring", file=sys.stderr, flush=True)
        await asyncio.gather(*tasks)

    async def _read(self, path: str, token: str) -> None:
        """Read one stream to the end of the measuring; one that ends before, or never begins, is cut."""
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._plan.port)
        writer.write(_request(path, token))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.reading.cut += not (b" 200 " in head and await self._follow(reader, started))
        except (OSError, asyncio.IncompleteReadError):
            self.reading.cut += 1
        finally:
            writer.close()

    async def _follow(self, reader: asyncio.StreamReader, started: float) -> bool:
        """Note the lag of each stamp as it arrives; returns whether the stream lasted."""
        rest, newest = b"", 0
        while time.time_ns() < self._end:
            data = await reader.read(65536)
            arrived = time.time_ns()
            if not data:
                return False
            if not newest:
                self.reading.first_bytes.append(time.monotonic() - started)
            self.reading.bytes += len(data) if arrived > self._start else 0
            newest = self._note(rest + data, max(newest, 1), arrived)
            rest = data[-LONGEST_STAMP:]
        return True

    def _note(self, data: bytes, newest: int, arrived: int) -> int:
        """Note each stamp that is newer than the newest one known; returns the newest one now."""
        for stamp in sorted({int(found) for found in STAMP.findall(data)}):
            if stamp > newest:
                newest = stamp
                if self._start < stamp < self._end:
                    self.reading.lags.append((arrived - stamp) / 1e9)
        return newest


def _request(path: str, token: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", f"Cookie: chatsite_visitor={token}"]
    return "\r\n".join([*lines, "", ""]).encode()


def main() -> None:
    """Read the plan, read the streams, print what was read."""
    values: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    readers = Readers(Plan(**values))
    asyncio.run(readers.run())
    print(json.dumps(asdict(readers.reading)))


if __name__ == "__main__":
    main()
