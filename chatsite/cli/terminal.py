"""What the terminal does with the services: one visitor, one open conversation, one answer at a time.

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
from chatsite.models import Conversation, Message, Role, Runner, Status, User
from chatsite.rendering.text import title
from chatsite.runner.supervisor import Supervisor
from chatsite.services import (
    accounts,
    answerers,
    changes,
    conversations,
    generations,
    links,
    messages,
    models,
    receipts,
    runners,
    windows,
)
from chatsite.services.answerers import Answerer
from chatsite.services.changes import Change
from chatsite.services.generations import Limits
from chatsite.services.models import Card
from chatsite.services.receipts import Reading

POLL_SECONDS = 0.1
LIST_SIZE = 20
SHOWN_MESSAGES = 6
# How long nobody may run the model before the terminal does: the site's runner may only be starting again.
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Answer:
    """How an answer stands: its whole text so far, its status and, while it waits, its place in the queue.

    A `draft` may yet become another text. `reason` says why it ended; `runner` is who writes it, None while nobody is
    there.
    """

    text: str
    status: Status
    position: int | None = None
    reason: str | None = None
    runner: Runner | None = None
    draft: bool = False

    @property
    def over(self) -> bool:
        """Whether it is written no further."""
        return self.status not in {Status.QUEUED, Status.GENERATING}


class Terminal:
    """The terminal's visitor and the conversation that is open; `conversation` is its public id.

    `history` is the file for what was typed.
    """

    def __init__(self, app: Flask) -> None:
        self._config = app.config
        self._token = links.terminal_token(app.config["INSTANCE"])
        self._supervisor: Supervisor | None = None
        self._alone_since: float | None = None
        self.conversation: str | None = None
        self._known = models.known(app.config)
        # Who was chosen for a conversation that did not begin yet.
        self._chosen: Answerer | None = None
        self.history: Path = app.config["INSTANCE"] / "terminal_history"

    def ask(self, text: str) -> str:
        """Ask in the open conversation, or begin one; returns the public id of the answer.

        Raises what `messages.start` and `messages.post` raise.
        """
        config, token = self._config, secrets.token_urlsafe(16)
        limits = Limits(config["MESSAGE_CHARS"], config["QUEUE_PER_USER"], config["QUEUE_TOTAL"])
        with _session():
            user = accounts.find_or_create(self._token)
            if self.conversation:
                found = conversations.get(user, self.conversation)
                turn = messages.post(user, found, text, token, limits, answerers.of(self._known, found))
            else:
                messages.check(text, limits.message_chars)
                answerer = self._chosen or answerers.check(self._known, None, None)
                turn = messages.start(user, text, token, title(text), limits, answerer)
            self.conversation, self._chosen = turn.conversation.public_id, None
            return turn.answer.public_id

    def begin(self) -> None:
        """Ask the next question in a new conversation."""
        self.conversation, self._chosen = None, None

    def choices(self) -> list[Card]:
        """The models that can answer."""
        with _session():
            return models.choices(self._known)

    def answerer(self) -> tuple[Card, str]:
        """Who answers the next question: the model and the preset. Raises ModelUnknownError."""
        with _session():
            now = self._answerer()
            card = models.get(self._known, now.model or models.default(self._known))
            return card, now.preset or answerers.usual(card.entry.family).value

    def choose(self, model: str | None = None, preset: str | None = None) -> None:
        """Have another model answer from here on, or in another manner. Raises what `answerers.check` raises."""
        with _session():
            now = self._answerer()
            same = model in {None, now.model}
            wish = answerers.check(self._known, model or now.model, preset or (now.preset if same else None))
            if self.conversation:
                answerers.choose(conversations.get(self._user(), self.conversation), wish)
            else:
                self._chosen = wish

    def follow(self, name: str) -> Iterator[Answer]:
        """The answer of that public id as it grows, until it is over. Raises NotFoundError when it is deleted."""
        change: Change | None = None
        self._ensure_runner(patience=0)
        while True:
            with _session():
                message = messages.get(self._user(), name)
                change = self._change(message, change)
                answer = self._answer(message, change)
            yield answer
            if answer.over:
                return
            self._ensure_runner(PATIENCE_SECONDS)
            time.sleep(POLL_SECONDS)

    def stop(self, name: str) -> None:
        """Have the answer of that public id written no further."""
        with _session():
            generations.stop(messages.get(self._user(), name))

    def conversations(self) -> list[Conversation]:
        """The newest conversations of the terminal."""
        with _session():
            user = self._user()
            return list(conversations.page(user, size=LIST_SIZE).items) if user else []

    def messages(self) -> list[Message]:
        """The newest messages of the open conversation."""
        with _session():
            found = conversations.get(self._user(), self.conversation or "")
            return list(windows.until(found, size=SHOWN_MESSAGES).messages)

    def reading(self) -> Reading | None:
        """What the model saw when it wrote the newest answer of the open conversation; None if that is not known."""
        with _session():
            found = conversations.get(self._user(), self.conversation or "")
            answers = [each for each in windows.until(found, size=2).messages if each.role is Role.ASSISTANT]
            return receipts.reading(answers[-1]) if answers else None

    def runner(self) -> Runner | None:
        """The runner that would answer now."""
        with _session():
            return runners.current(self._config["LEASE_SECONDS"])

    def link(self) -> str:
        """The path of a new link that makes a browser the terminal's visitor."""
        return "/links/" + links.create(self._config["INSTANCE"], self._config["SECRET_KEY"])

    def leave(self) -> None:
        """End the runner if it is the terminal's own."""
        if self._supervisor:
            self._supervisor.stop()

    def _user(self) -> User | None:
        return accounts.find(self._token)

    def _answerer(self) -> Answerer:
        if not self.conversation:
            return self._chosen or Answerer()
        found = conversations.get(self._user(), self.conversation)
        return Answerer(found.model, found.preset)

    def _change(self, message: Message, before: Change | None) -> Change:
        """How the answer stands, with all of its text, given how it stood; another generation may write it by now."""
        generation = message.generation
        before = before if generation and before and before.id == generation.id else None
        found = changes.follow({generation.id: before.seq if before else 0}) if generation else []
        if not found:
            raise NotFoundError
        return found[0].after(before) if before else found[0]

    def _answer(self, message: Message, change: Change) -> Answer:
        runner = runners.current(self._config["LEASE_SECONDS"])
        if change.active:
            text = message.text + change.text
            return Answer(text, change.status, change.position, runner=runner, draft=change.draft)
        # The chunks have become the text of the message.
        whole = messages.get(self._user(), message.public_id)
        reason = whole.generation.finish_reason if whole.generation else None
        return Answer(whole.text, whole.status, reason=reason, runner=runner)

    def _ensure_runner(self, patience: float) -> None:
        """Run the model ourselves when nobody has for `patience` seconds, unless somebody else is meant to."""
        if self._supervisor or self._config["RUNNER"] == "external":
            return
        if self.runner() is not None:
            self._alone_since = None
            return
        self._alone_since = self._alone_since or time.monotonic()
        if time.monotonic() - self._alone_since >= patience:
            log = os.open(self._config["INSTANCE"] / "runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._supervisor = Supervisor(self._config["RUNNER_PAUSE_SECONDS"], output=log)
            self._supervisor.start()


@contextmanager
def _session() -> Iterator[None]:
    """A database session for one call; what was read stays readable after it."""
    try:
        yield
    finally:
        db.session.remove()
