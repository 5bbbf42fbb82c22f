"""Turns the conversations of the demo into what an import stores: messages, answers and how they came about."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chatsite.cli.demo.reading import pieces, receipt
from chatsite.cli.demo.scripts import Line, Script
from chatsite.engine import Turn
from chatsite.models import Role, Status
from chatsite.services import models, personas
from chatsite.services.models import Known
from chatsite.services.transfer import trees
from chatsite.services.transfer.trees import Found, Said

BETWEEN = timedelta(minutes=4)
# Seconds to the first token, and tokens per second, of small models on a computer without a graphics card.
PACE = {"chat": (0.6, 43.7), "blenderbot": (1.9, 24.1)}
SCRIPT_PACE = (0.1, 40.0)


def found(script: Script, site: Known, moment: datetime) -> Found:
    """A conversation of the demo as a file of this site's own would hold it; `moment` is now."""
    questions = sum(line.role is Role.USER for line in script.said)
    begun = moment - script.age - BETWEEN * (questions - 1)
    head = _head(script, site)
    said = _Stage(script, site, head, begun).said
    archived = moment - script.age + timedelta(hours=1) if script.has("archived") else None
    name = name_of(script.name)
    return Found(
        origin=f"chatsite:{name}",
        public_id=name,
        title=script.about["title"],
        said=trees.settled(trees.ordered(said)),
        created_at=begun,
        updated_at=moment - script.age,
        values={**head, "pinned": script.has("pinned"), "archived_at": archived},
        tags=[tag.strip() for tag in script.about.get("tags", "").split(",") if tag.strip()],
    )


class _Stage:
    """What was said in one conversation, line after line."""

    def __init__(self, script: Script, site: Known, head: dict[str, Any], begun: datetime) -> None:
        self.said: list[Said] = []
        self._script, self._site, self._head = script, site, head
        self._moment = begun - BETWEEN
        for line in script.said:
            self._say(line)

    def _say(self, line: Line) -> None:
        before = self.said[-1] if self.said else None
        another = before is not None and not {"version", "beside"}.isdisjoint(line.words)
        parent = before.parent if before and another else before.key if before else None
        if before and "version" in line.words:
            before.shown = False
        self._moment += BETWEEN if line.role is Role.USER else timedelta(0)
        key = name_of(f"{self._script.name} {len(self.said)}")
        said = Said(key, parent, line.role, line.text, self._moment, public_id=key)
        said.shown, said.comparing = "beside" not in line.words, self._compares(line)
        self.said.append(said)
        if line.role is Role.ASSISTANT:
            said.runs = [self._run(said, line)]

    def _compares(self, line: Line) -> bool:
        return line.role is Role.ASSISTANT and self._script.has("comparing")

    def _run(self, said: Said, line: Line) -> dict[str, Any]:
        """How an answer came about: who wrote it, what they saw, how long it took, and what was thought of it."""
        name = line.words.get("model", self._head["model"])
        family = models.get(self._site, name).entry.family
        waits, speed = PACE.get(family, SCRIPT_PACE)
        tokens = len(pieces(line.text))
        first = self._moment + timedelta(seconds=waits + len(self.said) % 3 / 10)
        speed += len(self.said) % 4 - len(line.text) % 9 / 10
        return {
            **{key: self._head[key] for key in ("preset", "persona", "instructions", "numbers")},
            "model": name,
            "status": Status.DONE,
            "finish_reason": "end",
            "created_at": self._moment,
            "started_at": self._moment,
            "first_token_at": first,
            "finished_at": first + timedelta(seconds=tokens / speed),
            "tokens": tokens,
            "tokens_per_second": speed,
            "receipt": receipt(name, family, self._turns_above(said), self._head["instructions"]),
            **_rating(line.words),
        }

    def _turns_above(self, said: Said) -> list[Turn]:
        """What an answer answers to, the oldest first."""
        by_key = {each.key: each for each in self.said}
        turns: list[Turn] = []
        key = said.parent
        while key is not None:
            turns.append(Turn(str(by_key[key].role), by_key[key].text))
            key = by_key[key].parent
        return turns[::-1]


def _head(script: Script, site: Known) -> dict[str, Any]:
    """Who answers in a conversation, and by which settings."""
    named = script.about.get("persona")
    persona = next((each for each in personas.BUILT_IN if each.public_id == named), None)
    return {
        "model": script.about.get("model") or models.default(site),
        "preset": script.about.get("preset"),
        "persona": persona.name if persona else None,
        "instructions": persona.instructions if persona else None,
        "numbers": dict(persona.numbers) if persona and persona.numbers else None,
    }


def _rating(words: Mapping[str, str]) -> dict[str, Any]:
    value = 1 if "good" in words else -1 if "bad" in words else None
    return {"rating": value, "rating_note": words.get("bad")}


def name_of(text: str) -> str:
    """The same 16 characters for the same text: pictures and tests find the demo by its addresses."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:12]).decode()
