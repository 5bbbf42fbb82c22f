"""Answers held in every state that an answer can have, by the very calls with which a runner leads them there.

They stay so as long as no runner works on the database (`CHATSITE_RUNNER=external`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chatsite.cli.demo.reading import receipt
from chatsite.database import db, write
from chatsite.engine import Residence
from chatsite.models import Conversation, ModelState, Outcome, RunnerState, Status, User
from chatsite.services import claims, import_claims, imports, messages, models, residences, runners, tags
from chatsite.services.answerers import Answerer
from chatsite.services.claims import Claim, Written
from chatsite.services.generations import Limits
from chatsite.services.residences import Seen

OWNER = "demo"
TAG = "states"
# Longer than anybody looks.
LEASE_SECONDS = 10 * 365 * 86_400.0
FILE_BYTES = 1_000_000
BROUGHT = ("A birthday poem", "Which bicycle for the city", "Letters from the archive")
LIMITS = Limits(message_chars=8000, per_user=100, total=100)
WEIGHING = "blenderbot-400m-distill"
RIVAL = "qwen2.5-0.5b-instruct"
BEGUN = (
    "Bread rises because yeast eats sugar and gives off **carbon dioxide**.\n\n"
    "1. The dough holds the gas in a net of gluten.\n2. Warmth makes the yeast work faster.\n\n"
    "```python\ndef minutes(degrees):\n    return 90 if degrees < 22 else"
)
OTHERWISE = "It gives flavour, and keeps the dough from rising too fast"
WHOLE = "Salt slows the yeast down, tightens the gluten and makes the crust brown more slowly."


@dataclass(frozen=True)
class State:
    """A state by its title: what was asked, and what a runner wrote then; None leaves the question in the queue."""

    title: str
    question: str
    written: Written | None = None
    model: str | None = None
    rivals: tuple[str, ...] = ()


STATES = (
    State("Pending: no word yet", "Why does bread rise?", Written(1)),
    State("Streaming", "Why does bread rise?", Written(1, BEGUN, 61)),
    State("Weighing", "Do you like to bake?", Written(1, "I love to bake bread! Do you", 9, draft=True), WEIGHING),
    State("Comparing", "What does salt do in bread?", Written(1, WHOLE[:48], 11), rivals=(RIVAL,)),
    State("Whole", "What does salt do in bread?", Written(1, WHOLE, 21, status=Status.DONE, reason="end")),
    State("Stopped", "Why does bread rise?", Written(1, BEGUN[:71], 16, status=Status.STOPPED, reason="cancelled")),
    State(
        "Interrupted", "Why does bread rise?", Written(1, BEGUN[:110], 27, status=Status.INTERRUPTED, reason="crashed")
    ),
    State(
        "Failed",
        "Why does bread rise?",
        Written(1, BEGUN[:40], 9, status=Status.FAILED, reason="error", error="RuntimeError: out of memory"),
    ),
    State("Failed before the first word", "Why?", Written(1, status=Status.FAILED, reason="error")),
    State("Cut by length", "Tell me all about bread.", Written(1, BEGUN, 61, status=Status.DONE, reason="length")),
    State("Nothing to say", "…?", Written(1, tokens=1, status=Status.DONE, reason="end")),
    State("Queued, next in line", "How long does sourdough take?"),
    State("Queued, second in line", "And rye bread?"),
)


def hold(config: Mapping[str, Any], user: User) -> None:
    """Store a conversation in each state, marked with a tag, and say that a model is ready and others are not."""
    site = models.known(config)
    tag = tags.create(user, TAG, "gray")
    house(config)
    talks = [_hold(user, state, state.model or models.default(site)) for state in STATES]
    tags.mark(user, [talk.public_id for talk in talks], tag)
    _import(user, "conversations.json", import_claims.GIVEN_UP)
    _import(user, "chatgpt-export.zip", None)


def house(config: Mapping[str, Any]) -> None:
    """Have models that are here, one on its way and one that could not be had, and a runner that is ready."""
    model = models.default(models.known(config))
    for name in dict.fromkeys((model, WEIGHING, RIVAL)):
        residences.record(name, Seen(ModelState.READY))
    residences.record("gpt2", Seen(ModelState.FETCHING, 219_000_000, 548_000_000, 6_300_000.0))
    residences.record("t5-small", Seen(ModelState.FAILED, reason="The connection was lost."))
    residences.reside([Residence(model, loaded=True, memory=412_000_000, tokens_per_second=43.7, precision="int8")])
    settle(config, RunnerState.READY)


def settle(config: Mapping[str, Any], state: RunnerState) -> None:
    """Have a runner say that it is about this: who looks within the lease (`CHATSITE_LEASE_SECONDS`) believes it."""
    progress = 0.4 if state in {RunnerState.LOADING, RunnerState.FETCHING} else None
    reason = "No space is left on the disk." if state is RunnerState.FAILED else None
    runners.beat(OWNER, models.default(models.known(config)), state, progress, reason)


def _hold(user: User, state: State, model: str) -> Conversation:
    """Ask, claim what was asked, and write as much of the answer as belongs to the state."""
    rivals = [Answerer(rival) for rival in state.rivals]
    turn = messages.start(user, state.question, "", state.title, LIMITS, Answerer(model), rivals=rivals)
    talk = turn.conversation
    if state.written is not None:
        for claim in claims.claim(OWNER, 1 + len(rivals), LEASE_SECONDS, attempts=2):
            _write(claim, replace(state.written, text=OTHERWISE) if claim.model == RIVAL else state.written)
    return db.session.get_one(Conversation, talk.id)


def _write(claim: Claim, written: Written) -> None:
    """The receipt comes first and the text after it, as from an engine."""
    seen = receipt(claim.model or "", _family(claim), claim.turns, None)
    claims.record(OWNER, {claim.generation_id: Written(claim.attempt, receipt=seen)}, LEASE_SECONDS)
    claims.record(OWNER, {claim.generation_id: replace(written, attempt=claim.attempt)}, LEASE_SECONDS)


def _import(user: User, name: str, error: str | None) -> None:
    """A file that is being read, half of it so far, or that could not be read because of an error."""
    imports.receive(user, name, io.BytesIO(b"{}" * FILE_BYTES).read, most=10 * FILE_BYTES)
    claimed = import_claims.claim(OWNER, LEASE_SECONDS)
    if claimed is None:
        return
    if error:
        import_claims.finish(claimed, error)
        return
    with write():
        notes = [
            {"seq": number, "title": title, "outcome": Outcome.IMPORTED} for number, title in enumerate(BROUGHT, 1)
        ]
        import_claims.advance(claimed, LEASE_SECONDS, notes, messages=38, read=FILE_BYTES)


def _family(claim: Claim) -> str:
    return "blenderbot" if claim.model == WEIGHING else "chat"
