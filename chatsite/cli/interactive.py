"""The conversation at a terminal: a prompt, commands, answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from flask_babel import gettext
from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory

from chatsite.cli.screen import Screen
from chatsite.cli.speech import translated
from chatsite.cli.terminal import Terminal
from chatsite.cli.watching import watch
from chatsite.errors import ChatsiteError

PROMPT = "> "


class Session:
    """One stay at the prompt. `site` is the address of the site, for links to it."""

    def __init__(self, terminal: Terminal, site: str) -> None:
        self._terminal = terminal
        self._site = site
        self._screen = Screen()
        self._prompt: PromptSession[str] = PromptSession(history=FileHistory(str(_private(terminal.history))))
        self._listed: list[str] = []
        self._commands: dict[str, Callable[[str], None]] = {
            "/new": self._new,
            "/list": self._list,
            "/open": self._open,
            "/model": self._model,
            "/preset": self._preset,
            "/why": self._why,
            "/link": self._link,
            "/help": self._help,
        }

    def run(self) -> None:
        """Talk until Ctrl-D or /quit."""
        self._screen.say(gettext("Ask something. /help lists the commands; Ctrl-D leaves."), style="dim")
        while (line := self._read()) is not None:
            if line == "/quit":
                return
            try:
                self._obey(line)
            except ChatsiteError as error:
                self._screen.complain(translated(error))

    def _read(self) -> str | None:
        """The next line, or None when the visitor leaves; Ctrl-C only empties the line."""
        while True:
            try:
                return self._prompt.prompt(PROMPT).strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return None

    def _obey(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word in self._commands:
            self._commands[word](rest.strip())
        elif word.startswith("/") and not word.startswith("//"):
            self._screen.complain(gettext("There is no command %(command)s. /help lists them.", command=word))
        elif line:
            # Two slashes are one slash of a question.
            self._ask(line[1:] if line.startswith("//") else line)

    def _ask(self, text: str) -> None:
        self._screen.show(watch(self._terminal, self._terminal.ask(text)))

    def _new(self, _rest: str) -> None:
        self._terminal.begin()
        self._screen.say(gettext("A new conversation."), style="dim")

    def _list(self, _rest: str) -> None:
        found = self._terminal.conversations()
        self._listed = [conversation.public_id for conversation in found]
        self._screen.list(found)

    def _open(self, rest: str) -> None:
        if not self._listed:
            self._listed = [conversation.public_id for conversation in self._terminal.conversations()]
        number = int(rest) if rest.isascii() and rest.isdecimal() else 0
        if not 1 <= number <= len(self._listed):
            self._screen.complain(gettext("Say which one by its number in /list, as in /open 1."))
            return
        self._terminal.conversation = self._listed[number - 1]
        self._screen.transcript(self._terminal.messages())

    def _model(self, rest: str) -> None:
        if rest:
            self._terminal.choose(model=rest)
            self._say_who_answers()
            return
        card, _ = self._terminal.answerer()
        self._screen.models(self._terminal.choices(), card)
        self._screen.say(f"{card.entry.title}: {gettext(card.entry.purpose)}")
        self._screen.say(gettext("Licence: %(licence)s", licence=gettext(card.entry.licence)))
        self._screen.say(gettext(card.entry.caution))

    def _preset(self, rest: str) -> None:
        if rest:
            self._terminal.choose(preset=rest)
        self._say_who_answers()

    def _say_who_answers(self) -> None:
        card, preset = self._terminal.answerer()
        self._screen.say(
            gettext("From here on: %(model)s, %(manner)s.", model=card.entry.title, manner=gettext(preset))
        )

    def _why(self, _rest: str) -> None:
        self._screen.reading(self._terminal.reading())

    def _link(self, _rest: str) -> None:
        self._screen.say(self._site + self._terminal.link())
        self._screen.say(gettext("Open it within ten minutes in the browser that is to join."), style="dim")

    def _help(self, _rest: str) -> None:
        for command, meaning in (
            ("/new", gettext("begin a new conversation")),
            ("/list", gettext("list the conversations")),
            ("/open N", gettext("go on with conversation N of the list")),
            ("/model", gettext("list the models and say which one answers")),
            ("/model NAME", gettext("have another model answer from here on")),
            ("/preset NAME", gettext("have it answer precise, balanced or creative")),
            ("/why", gettext("say what the model saw for the last answer")),
            ("/link", gettext("show these conversations in a browser")),
            ("/quit", gettext("leave, like Ctrl-D")),
            ("Ctrl-C", gettext("stop the answer")),
            ("//…", gettext("ask something that begins with a slash")),
        ):
            self._screen.say(f"{command:12} {meaning}")


def _private(path: Path) -> Path:
    """The file, made so that only its owner reads what was typed."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    return path
