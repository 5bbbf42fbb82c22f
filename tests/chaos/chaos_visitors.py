"""The people in a storm: they ask, read and import, and do again whatever was not acknowledged."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import urllib.error

from tests.support import other_exports
from tests.support.served_site import HttpVisitor

TIMEOUT_SECONDS = 60.0
WORDS = ("agua", "river", "piedra", "stone", "night", "luz", "canción", "word", "😀", "ñandú")
NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, OSError)
# Enough to be hit by a strike while it is being stored, and less than a form may hold.
CONVERSATIONS_PER_FILE = 300


class ChaosVisitor:
    """Somebody who asks, watches the answer, and asks again."""

    def __init__(self, url: str, number: int, stop: threading.Event) -> None:
        self._visitor = HttpVisitor(url)
        self._rng = random.Random(number)
        self._number = number
        self._stop = stop
        self._conversation = ""
        self.acknowledged: dict[str, str] = {}
        self.repeated_count = 0

    def run_until_stopped(self) -> None:
        """Go on until the storm is over."""
        question_count = 0
        while not self._stop.is_set():
            key = f"p{self._number}-{question_count}"
            text = f"{key} " + " ".join(self._rng.choices(WORDS, k=self._rng.randint(10, 60)))
            command = self._rng.choice(("/say", "/draft"))
            self._conversation = conversation = self._post_until_acknowledged(f"{command} {text}", key)
            self.acknowledged[key] = text
            question_count += 1
            # While an answer is written, posts may be added to one that waits and have no answer of their own.
            if not self._wait_for_answer(conversation) or self._rng.random() < 0.3:
                self._conversation = ""

    def forget(self, keys: set[str]) -> None:
        """Expect no answers to some questions, which an older state of the site lacks; begin anew after it."""
        for key in keys:
            del self.acknowledged[key]
        self._conversation = ""

    def _post_until_acknowledged(self, text: str, key: str) -> str:
        """Post until it is acknowledged; returns the conversation."""
        while True:
            try:
                return self._visitor.post_question(text, key, self._conversation, timeout=10)
            except NETWORK_ERRORS:
                self.repeated_count += 1
                time.sleep(0.05)

    def _wait_for_answer(self, conversation: str) -> bool:
        """Read the answer's stream, again when it breaks, until it is over; returns whether it was in time.

        An older state of the site may lack the conversation: then nobody waits for it.
        """
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end and conversation == self._conversation:
            try:
                answer = self._visitor.list_message_ids(conversation)[-1]
                if "event: done" in self._visitor.get(f"/messages/{answer}/stream", timeout=20):
                    return True
            except (*NETWORK_ERRORS, IndexError):
                time.sleep(0.05)
        return False


class ChaosImporter:
    """Somebody who imports one file after another, each soon after the one before, whether that is over or not."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        self._visitor = HttpVisitor(url)
        self._stop = stop
        self.acknowledged: list[str] = []

    def run_until_stopped(self) -> None:
        """Go on until the storm is over."""
        number = 0
        while not self._stop.is_set():
            number += 1
            first = number * CONVERSATIONS_PER_FILE
            conversations = [
                other_exports.make_claude_conversation(first + place) for place in range(CONVERSATIONS_PER_FILE)
            ]
            try:
                self._visitor.upload_import(f"file {number}", json.dumps(conversations).encode(), timeout=20)
            except NETWORK_ERRORS:
                # It may have been stored, but nobody said so; the next file is another one.
                time.sleep(0.05)
                continue
            self.acknowledged.append(f"file {number}")
            self._stop.wait(2.0)

    def forget(self, names: set[str]) -> None:
        """Expect nothing of some files, which an older state of the site lacks."""
        for name in names:
            self.acknowledged.remove(name)
