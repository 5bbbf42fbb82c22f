"""Reads many streams at once, in a process of its own: `python -m benchmarks.support.stream_readers PLAN`, which prints
a JSON object.

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

TIMESTAMP_PATTERN = re.compile(rb"at(\d{19})z")
MAX_TIMESTAMP_CHARS = 32
OPENING_INTERVAL_SECONDS = 0.005
SETTLING_SECONDS = 1.0


@dataclass
class ReadPlan:
    """What to read: the port, `[path, token]` of each stream, and after how many seconds of measuring to leave."""

    port: int
    streams: list[list[str]]
    seconds: float


@dataclass
class StreamResults:
    """What was read."""

    lags: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    cut: int = 0
    bytes: int = 0


class StreamReaders:
    """All readers of a plan."""

    def __init__(self, plan: ReadPlan) -> None:
        self._plan = plan
        self._start_ns = sys.maxsize
        self._end_ns = sys.maxsize
        self.results = StreamResults()

    async def run_plan(self) -> None:
        """Open the streams one by one, measure for a while, and leave."""
        tasks = []
        for path, token in self._plan.streams:
            tasks.append(asyncio.create_task(self._read_stream(path, token)))
            await asyncio.sleep(OPENING_INTERVAL_SECONDS)
        await asyncio.sleep(SETTLING_SECONDS)
        self._start_ns = time.time_ns()
        self._end_ns = self._start_ns + int(self._plan.seconds * 1e9)
        print("measuring", file=sys.stderr, flush=True)
        await asyncio.gather(*tasks)

    async def _read_stream(self, path: str, token: str) -> None:
        """Read one stream to the end of the measuring; one that ends before, or never begins, is cut."""
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._plan.port)
        writer.write(_encode_request(path, token))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.results.cut += not (b" 200 " in head and await self._record_until_end(reader, started))
        except (OSError, asyncio.IncompleteReadError):
            self.results.cut += 1
        finally:
            writer.close()

    async def _record_until_end(self, reader: asyncio.StreamReader, started: float) -> bool:
        """Note the lag of each stamp as it arrives; returns whether the stream lasted."""
        overlap, newest_ns = b"", 0
        while time.time_ns() < self._end_ns:
            data = await reader.read(65536)
            arrived_ns = time.time_ns()
            if not data:
                return False
            if not newest_ns:
                self.results.first_bytes.append(time.monotonic() - started)
            self.results.bytes += len(data) if arrived_ns > self._start_ns else 0
            newest_ns = self._record_lags(overlap + data, max(newest_ns, 1), arrived_ns)
            overlap = data[-MAX_TIMESTAMP_CHARS:]
        return True

    def _record_lags(self, data: bytes, newest_ns: int, arrived_ns: int) -> int:
        """Note each stamp that is newer than the newest one known; returns the newest one now."""
        for stamp_ns in sorted({int(digits) for digits in TIMESTAMP_PATTERN.findall(data)}):
            if stamp_ns > newest_ns:
                newest_ns = stamp_ns
                if self._start_ns < stamp_ns < self._end_ns:
                    self.results.lags.append((arrived_ns - stamp_ns) / 1e9)
        return newest_ns


def _encode_request(path: str, token: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", f"Cookie: chatsite_visitor={token}"]
    return "\r\n".join([*lines, "", ""]).encode()


def main() -> None:
    """Read the plan, read the streams, print what was read."""
    values: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    readers = StreamReaders(ReadPlan(**values))
    asyncio.run(readers.run_plan())
    print(json.dumps(asdict(readers.results)))


if __name__ == "__main__":
    main()
