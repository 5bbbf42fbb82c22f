"""Answers in every state, created with the same calls that a runner makes.

They keep their states while no runner works on the database (`CHATSITE_RUNNER=external`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chatsite.database import db, write_transaction
from chatsite.devtools.demo.prompt_reports import make_prompt_report
from chatsite.engine.types import ModelStatus
from chatsite.errors import ChatsiteError, ImportCrashedError, as_error
from chatsite.models import Conversation, ImportOutcome, ModelState, RunnerState, Status, User
from chatsite.services.chat import generation_leases, messages
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.models import catalog, runners, status
from chatsite.services.models.choice import ModelChoice
from chatsite.services.models.status import WeightsStatus
from chatsite.services.organize import tags
from chatsite.services.transfer import import_leases, imports

RUNNER_OWNER = "demo"
STATES_TAG = "states"
# The states must not expire while the demo is open.
LEASE_SECONDS = 10 * 365 * 86_400.0
IMPORT_FILE_BYTES = 1_000_000
IMPORTED_TITLES = ("A birthday poem", "Which bicycle for the city", "Letters from the archive")
LIMITS = QueueLimits(max_message_chars=8000, max_queued_per_user=100, max_queued=100)
BEAM_MODEL = "blenderbot-400m-distill"
COMPARED_MODEL = "qwen2.5-0.5b-instruct"
PARTIAL_ANSWER = (
    "Bread rises because yeast eats sugar and gives off **carbon dioxide**.\n\n"
    "1. The dough holds the gas in a net of gluten.\n2. Warmth makes the yeast work faster.\n\n"
    "```python\ndef minutes(degrees):\n    return 90 if degrees < 22 else"
)
COMPARED_ANSWER = "It gives flavour, and keeps the dough from rising too fast"
REASONING = (
    "The question is what salt does in bread. It draws water, so the yeast has less of it and works more slowly.\n\n"
    "It also makes the gluten firmer. And the crust: sugar is left over for it. I should say all three briefly."
)
FULL_ANSWER = "Salt slows the yeast down, tightens the gluten and makes the crust brown more slowly."


@dataclass(frozen=True)
class AnswerExample:
    """A state with its title, a question, and the text that a runner wrote.

    Without `update` the question stays queued.
    """

    title: str
    question: str
    update: GenerationUpdate | None = None
    model: str | None = None
    compared_models: tuple[str, ...] = ()


ANSWER_EXAMPLES = (
    AnswerExample("Pending: no word yet", "Why does bread rise?", GenerationUpdate(1)),
    AnswerExample("Streaming", "Why does bread rise?", GenerationUpdate(1, PARTIAL_ANSWER, 61)),
    AnswerExample(
        "Thinking",
        "What does salt do in bread?",
        GenerationUpdate(1, new_tokens=24, reasoning=REASONING[:108], reasoning_tokens=24),
    ),
    AnswerExample(
        "Thought first",
        "What does salt do in bread?",
        GenerationUpdate(
            1,
            FULL_ANSWER,
            69,
            status=Status.DONE,
            finish_reason="end",
            reasoning=REASONING,
            reasoning_tokens=48,
        ),
    ),
    AnswerExample(
        "Weighing",
        "Do you like to bake?",
        GenerationUpdate(1, "I love to bake bread! Do you", 9, is_provisional=True),
        BEAM_MODEL,
    ),
    AnswerExample(
        "Comparing",
        "What does salt do in bread?",
        GenerationUpdate(1, FULL_ANSWER[:48], 11),
        compared_models=(COMPARED_MODEL,),
    ),
    AnswerExample(
        "Whole",
        "What does salt do in bread?",
        GenerationUpdate(1, FULL_ANSWER, 21, status=Status.DONE, finish_reason="end"),
    ),
    AnswerExample(
        "Stopped",
        "Why does bread rise?",
        GenerationUpdate(1, PARTIAL_ANSWER[:71], 16, status=Status.STOPPED, finish_reason="cancelled"),
    ),
    AnswerExample(
        "Interrupted",
        "Why does bread rise?",
        GenerationUpdate(1, PARTIAL_ANSWER[:110], 27, status=Status.INTERRUPTED, finish_reason="crashed"),
    ),
    AnswerExample(
        "Failed",
        "Why does bread rise?",
        GenerationUpdate(
            1,
            PARTIAL_ANSWER[:40],
            9,
            status=Status.FAILED,
            finish_reason="error",
            error=as_error("RuntimeError: out of memory"),
        ),
    ),
    AnswerExample(
        "Failed before the first word", "Why?", GenerationUpdate(1, status=Status.FAILED, finish_reason="error")
    ),
    AnswerExample(
        "Cut by length",
        "Tell me all about bread.",
        GenerationUpdate(1, PARTIAL_ANSWER, 61, status=Status.DONE, finish_reason="length"),
    ),
    AnswerExample("Nothing to say", "…?", GenerationUpdate(1, new_tokens=1, status=Status.DONE, finish_reason="end")),
    AnswerExample("Queued, next in line", "How long does sourdough take?"),
    AnswerExample("Queued, second in line", "And rye bread?"),
)


def seed_all_states(config: Mapping[str, Any], user: User) -> None:
    """Store a conversation in each state, with a tag, and models in several states."""
    catalog_config = catalog.read_catalog_config(config)
    tag = tags.create(user, STATES_TAG, "gray")
    seed_models(config)
    seeded = [
        _seed_state(user, example, example.model or catalog.default_name(catalog_config)) for example in ANSWER_EXAMPLES
    ]
    tags.set_tag(user, [conversation.public_id for conversation in seeded], tag)
    _seed_import(user, "conversations.json", ImportCrashedError())
    _seed_import(user, "chatgpt-export.zip", None)


def seed_models(config: Mapping[str, Any]) -> None:
    """Store models that are downloaded, being downloaded and failed, and a runner that is ready."""
    model = catalog.default_name(catalog.read_catalog_config(config))
    for name in dict.fromkeys((model, BEAM_MODEL, COMPARED_MODEL)):
        status.finish(name, WeightsStatus(ModelState.READY))
    status.heartbeat("gpt2", WeightsStatus(ModelState.FETCHING, 219_000_000, 548_000_000, 6_300_000.0))
    status.finish("t5-small", WeightsStatus(ModelState.FAILED, error=as_error("The connection was lost.")))
    status.save_memory_status(
        [ModelStatus(model, is_loaded=True, memory_bytes=336_000_000, tokens_per_second=150.0, precision="int8")]
    )
    record_heartbeat(config, RunnerState.READY)


def record_heartbeat(config: Mapping[str, Any], state: RunnerState) -> None:
    """Store the heartbeat of a runner, which counts until its lease ends (`CHATSITE_LEASE_SECONDS`)."""
    progress = 0.4 if state in {RunnerState.LOADING, RunnerState.FETCHING} else None
    reason = as_error("No space is left on the disk.") if state is RunnerState.FAILED else None
    runners.heartbeat(
        RUNNER_OWNER, catalog.default_name(catalog.read_catalog_config(config)), state, progress=progress, error=reason
    )


def _seed_state(user: User, example: AnswerExample, model: str) -> Conversation:
    """Post a question, claim its generation, and write as much of the answer as the state needs."""
    compared = [ModelChoice(compared_model) for compared_model in example.compared_models]
    exchange = messages.start_conversation(
        user,
        messages.NewConversation(example.title),
        messages.NewMessage(example.question, compare_with=compared),
        limits=LIMITS,
        choice=ModelChoice(model),
    )
    conversation = exchange.conversation
    if example.update is not None:
        for claim in generation_leases.claim(RUNNER_OWNER, 1 + len(compared), LEASE_SECONDS, max_attempts=2):
            _write_answer(
                claim,
                replace(example.update, text=COMPARED_ANSWER) if claim.model == COMPARED_MODEL else example.update,
            )
    return db.session.get_one(Conversation, conversation.id)


def _write_answer(claim: ClaimedGeneration, update: GenerationUpdate) -> None:
    """Store the prompt report first and the text after it, in the order in which an engine reports them."""
    report = make_prompt_report(claim.model or "", _model_family(claim), claim.messages, persona=None)
    generation_leases.heartbeat(
        RUNNER_OWNER, {claim.generation_id: GenerationUpdate(claim.attempts, prompt_report=report)}, LEASE_SECONDS
    )
    generation_leases.heartbeat(
        RUNNER_OWNER, {claim.generation_id: replace(update, attempts=claim.attempts)}, LEASE_SECONDS
    )


def _seed_import(user: User, name: str, error: ChatsiteError | None) -> None:
    """Store an import that is half finished, or that failed with `error`."""
    imports.upload(user, name, io.BytesIO(b"{}" * IMPORT_FILE_BYTES).read, max_bytes=10 * IMPORT_FILE_BYTES)
    claim = import_leases.claim(RUNNER_OWNER, LEASE_SECONDS)
    if claim is None:
        return
    if error:
        import_leases.finish(claim, error)
        return
    with write_transaction() as tx:
        notes = [
            {"seq": number, "title": title, "outcome": ImportOutcome.IMPORTED}
            for number, title in enumerate(IMPORTED_TITLES, 1)
        ]
        progress = import_leases.ImportProgress(notes, message_count=38, read_bytes=IMPORT_FILE_BYTES)
        import_leases.heartbeat(tx, claim, progress, lease_seconds=LEASE_SECONDS)


def _model_family(claim: ClaimedGeneration) -> str:
    return "blenderbot" if claim.model == BEAM_MODEL else "chat"
