"""The terminal's access to the services: one user, one open conversation, one answer at a time.

Nothing is printed here. No database session outlives a call: an open one would pin the database while somebody
thinks about what to type.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from chatsite.database import db
from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message, Role, Runner, Status, Visitor
from chatsite.rendering.titles import title_from_question
from chatsite.runner.supervisor import Supervisor
from chatsite.services.accounts import terminal_links, users
from chatsite.services.chat import (
    chat_settings,
    conversations,
    generation_progress,
    generations,
    message_pages,
    messages,
    prompt_report,
    reasonings,
)
from chatsite.services.chat.generation_progress import GenerationSnapshot
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.chat.prompt_report import PromptReport
from chatsite.services.models import catalog, choice, runners
from chatsite.services.models.catalog import ModelCard
from chatsite.services.models.choice import ModelChoice

POLL_SECONDS = 0.1
MAX_LISTED = 20
MAX_SHOWN_MESSAGES = 6
# How long nobody may run the model before the terminal does: the site's runner may only be starting again.
RUNNER_WAIT_SECONDS = 3.0


@dataclass(frozen=True)
class AnswerState:
    """The state of an answer: its text so far, its status and, while it waits, its queue position.

    With `is_provisional` the text may still be replaced. `reasoning` is what the model thought before it, in
    `reasoning_seconds`. `reason` says why the answer ended; `runner` is None while no
    runner is active.
    """

    text: str
    status: Status
    queue_position: int | None = None
    reason: str | None = None
    runner: Runner | None = None
    is_provisional: bool = False
    reasoning: str = ""
    reasoning_seconds: float | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the answer will not change any more."""
        return self.status not in {Status.QUEUED, Status.GENERATING}


class ChatClient:
    """The terminal's user and the open conversation; `conversation_id` is its public id.

    `history_file` is the file for what was typed.
    """

    def __init__(self, app: Flask) -> None:
        self._config = app.config
        self._token = terminal_links.terminal_token(app.config["INSTANCE"])
        self._supervisor: Supervisor | None = None
        self._no_runner_since: float | None = None
        self.conversation_id: str | None = None
        self._catalog_config = catalog.read_catalog_config(app.config)
        # Who was chosen for a conversation that did not begin yet.
        self._chosen_model: ModelChoice | None = None
        self.history_file: Path = app.config["INSTANCE"] / "terminal_history"

    def ask_question(self, text: str) -> str:
        """Post a question in the open conversation, or start one. Return the public id of the answer.

        Raises what `messages.start_conversation` and `messages.post_message` raise.
        """
        config, token = self._config, secrets.token_urlsafe(16)
        limits = QueueLimits(config["MAX_MESSAGE_CHARS"], config["MAX_QUEUED_PER_USER"], config["MAX_QUEUED"])
        with _database_session():
            user = users.get_or_create_by_token(self._token)
            if self.conversation_id:
                conversation = conversations.get(user, self.conversation_id)
                exchange = messages.post_message(
                    user,
                    conversation,
                    messages.NewMessage(text, token),
                    limits=limits,
                    choice=choice.get_for_next_answer(self._catalog_config, conversation),
                )
            else:
                messages.normalize_text(text, limits.max_message_chars)
                chosen = self._chosen_model or choice.get_for_new_chat(self._catalog_config, user)
                wants_model_title = self._config["MODEL_TITLES"] and catalog.can_write_titles(
                    self._catalog_config, chosen.model
                )
                exchange = messages.start_conversation(
                    user,
                    messages.NewConversation(title_from_question(text), wants_model_title=wants_model_title),
                    messages.NewMessage(text, token),
                    limits=limits,
                    choice=chosen,
                )
            self.conversation_id, self._chosen_model = exchange.conversation.public_id, None
            return exchange.answer.public_id

    def start_conversation(self) -> None:
        """Leave the conversation: the next question starts a new one."""
        self.conversation_id, self._chosen_model = None, None

    def list_models(self) -> list[ModelCard]:
        """List the models that can answer."""
        with _database_session():
            return catalog.list_available(self._catalog_config)

    def current_model(self) -> tuple[ModelCard, str]:
        """Return the model and the preset of the next answer. Raises ModelNotAvailableError."""
        with _database_session():
            current = self._current_choice()
            card = catalog.get_card(self._catalog_config, current.model or catalog.default_name(self._catalog_config))
            return card, current.preset or choice.default_preset(card.entry.family).value

    def choose_model(self, model: str | None = None, preset: str | None = None) -> None:
        """Set the model and the preset of the next answers. Raises what `choice.validate` raises."""
        with _database_session():
            current = self._current_choice()
            is_same_model = model in {None, current.model}
            chosen = choice.validate(
                self._catalog_config, model or current.model, preset or (current.preset if is_same_model else None)
            )
            if self.conversation_id:
                chat_settings.set_model(conversations.get(self._current_user(), self.conversation_id), chosen)
            else:
                self._chosen_model = chosen

    def follow_answer(self, message_id: str) -> Iterator[AnswerState]:
        """Iterate over the snapshots of an answer until it is finished. Raises NotFoundError when it is deleted."""
        progress: GenerationSnapshot | None = None
        self._ensure_runner(wait_seconds=0)
        while True:
            with _database_session():
                message = messages.get(self._current_user(), message_id)
                progress = self._next_progress(message, progress)
                answer = self._build_answer(message, progress)
            yield answer
            if answer.is_finished:
                return
            self._ensure_runner(RUNNER_WAIT_SECONDS)
            time.sleep(POLL_SECONDS)

    def stop_answer(self, message_id: str) -> None:
        """Stop the answer with that public id."""
        with _database_session():
            generations.stop(messages.get(self._current_user(), message_id))

    def list_conversations(self) -> list[Conversation]:
        """List the latest conversations of the terminal's user."""
        with _database_session():
            user = self._current_user()
            return list(conversations.list_page(user, size=MAX_LISTED).items)

    def list_messages(self) -> list[Message]:
        """List the latest messages of the open conversation."""
        with _database_session():
            conversation = conversations.get(self._current_user(), self.conversation_id or "")
            return list(message_pages.page_before(conversation, size=MAX_SHOWN_MESSAGES).messages)

    def find_prompt_report(self) -> PromptReport | None:
        """Return the prompt report of the latest answer of the open conversation; None if there is none."""
        with _database_session():
            conversation = conversations.get(self._current_user(), self.conversation_id or "")
            answers = [
                message
                for message in message_pages.page_before(conversation, size=2).messages
                if message.role is Role.ASSISTANT
            ]
            return prompt_report.load(answers[-1]) if answers else None

    def find_runner(self) -> Runner | None:
        """Return the runner that would answer now; None if there is none."""
        with _database_session():
            return runners.find_current(self._config["LEASE_SECONDS"])

    def create_link(self) -> str:
        """Return the path of a new link that signs a browser in as the terminal's user."""
        return "/terminal-links/" + terminal_links.create(self._config["INSTANCE"], self._config["SECRET_KEY"])

    def close(self) -> None:
        """Stop the runner if the terminal started it."""
        if self._supervisor:
            self._supervisor.stop()

    def _current_user(self) -> Visitor:
        return users.identify_by_token(self._token)

    def _current_choice(self) -> ModelChoice:
        if not self.conversation_id:
            user = self._current_user()
            model = choice.find_default_model(self._catalog_config, user)
            return self._chosen_model or ModelChoice(model, user.default_preset)
        conversation = conversations.get(self._current_user(), self.conversation_id)
        return ModelChoice(conversation.model, conversation.preset)

    def _next_progress(self, message: Message, previous: GenerationSnapshot | None) -> GenerationSnapshot:
        """Return the snapshot of an answer with all of its text.

        `previous` is the last one; it counts only if it is of the same generation.
        """
        generation = message.generation
        previous = previous if generation and previous and previous.id == generation.id else None
        updates = (
            generation_progress.take_snapshots({generation.id: previous.last_seq if previous else 0})
            if generation
            else []
        )
        if not updates:
            raise NotFoundError
        return updates[0].merged_with(previous) if previous else updates[0]

    def _build_answer(self, message: Message, progress: GenerationSnapshot) -> AnswerState:
        runner = runners.find_current(self._config["LEASE_SECONDS"])
        if progress.is_in_progress:
            text = message.text + progress.text
            return AnswerState(
                text,
                progress.status,
                progress.queue_position,
                runner=runner,
                is_provisional=progress.is_provisional,
                reasoning=progress.reasoning,
                reasoning_seconds=progress.reasoning_seconds,
            )
        # The chunks have become the text of the message.
        finished = messages.get(self._current_user(), message.public_id)
        reason = finished.generation.finish_reason if finished.generation else None
        thought = reasonings.load([finished]).get(finished.id)
        return AnswerState(
            finished.text,
            finished.status,
            reason=reason,
            runner=runner,
            reasoning=thought.text if thought else "",
            reasoning_seconds=thought.seconds if thought else None,
        )

    def _ensure_runner(self, wait_seconds: float) -> None:
        """Start a runner when there has been none for `wait_seconds` seconds, unless runners are external."""
        if self._supervisor or self._config["RUNNER"] == "external":
            return
        if self.find_runner() is not None:
            self._no_runner_since = None
            return
        self._no_runner_since = self._no_runner_since or time.monotonic()
        if time.monotonic() - self._no_runner_since >= wait_seconds:
            log_fd = os.open(self._config["INSTANCE"] / "runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._supervisor = Supervisor(self._config["RUNNER_MAX_BACKOFF_SECONDS"], output_fd=log_fd)
            self._supervisor.start()


@contextmanager
def _database_session() -> Iterator[None]:
    """Open a database session for one call; what was read stays readable after it."""
    try:
        yield
    finally:
        db.session.remove()
