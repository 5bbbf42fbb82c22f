"""How often an event stream sends: seldom enough to be cheap, and at once what somebody waits for."""

from __future__ import annotations

import time

from chatsite.services.chat.generation_progress import GenerationSnapshot

# One event renders a template and parses Markdown; more than ten a second would cost more than a reader notices.
TICK_SECONDS = 0.1
# Provisional text may change as a whole, so it is sent rarely enough to be read.
PROVISIONAL_SECONDS = 0.25
# Proxies commonly close connections that are idle for 30 or 60 seconds.
HEARTBEAT_SECONDS = 15.0


class StreamPace:
    """The pace of one stream: when it sent its last event, and whether something of the answer was in it."""

    def __init__(self) -> None:
        self._sent_at = 0.0
        self._has_begun = False

    @property
    def is_silent(self) -> bool:
        """Whether nothing was sent for so long that a proxy may close the connection."""
        return time.monotonic() - self._sent_at > HEARTBEAT_SECONDS

    def seconds_left(self, snapshot: GenerationSnapshot | None) -> float:
        """Return the seconds until the next event may be sent; not positive for what somebody waits for."""
        if snapshot is None or self.is_awaited(snapshot):
            return 0.0
        interval = PROVISIONAL_SECONDS if snapshot.is_provisional else TICK_SECONDS
        return self._sent_at + interval - time.monotonic()

    def is_awaited(self, snapshot: GenerationSnapshot) -> bool:
        """Return whether the answer begins with this snapshot, or has ended."""
        return not snapshot.is_in_progress or (snapshot.has_begun and not self._has_begun)

    def note_event(self, snapshot: GenerationSnapshot | None) -> None:
        """Note that an event is sent now."""
        self._sent_at = time.monotonic()
        self._has_begun |= snapshot is not None and snapshot.has_begun
