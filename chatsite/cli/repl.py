"""The interactive chat: a prompt, commands, answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from flask_babel import gettext
from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory

from chatsite.cli.chat_client import ChatClient
from chatsite.cli.follow import follow_answer
from chatsite.cli.output import Output
from chatsite.errors import ChatsiteError
from chatsite.i18n import translate_error

PROMPT = "> "


class Repl:
    """One session at the prompt. `site` is the address of the site, for links to it."""

    def __init__(self, client: ChatClient, site: str) -> None:
        self._client = client
        self._site = site
        self._output = Output()
        self._prompt: PromptSession[str] = PromptSession(
            history=FileHistory(str(_create_private_file(client.history_file)))
        )
        self._listed_ids: list[str] = []
        self._commands: dict[str, Callable[[str], None]] = {
            "/new": self._start_conversation,
            "/list": self._list_conversations,
            "/open": self._open_conversation,
            "/model": self._show_or_choose_model,
            "/preset": self._choose_preset,
            "/why": self._print_prompt_report,
            "/link": self._print_link,
            "/help": self._print_help,
        }

    def run_until_quit(self) -> None:
        """Read and answer lines until Ctrl-D or /quit."""
        self._output.print_info(gettext("Ask anything. /help lists the commands; Ctrl-D quits."), style="dim")
        while (line := self._read_line()) is not None:
            if line == "/quit":
                return
            try:
                self._run_command(line)
            except ChatsiteError as error:
                self._output.print_error(translate_error(error))

    def _read_line(self) -> str | None:
        """Read the next line; None at the end of the input. Ctrl-C only empties the line."""
        while True:
            try:
                return self._prompt.prompt(PROMPT).strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return None

    def _run_command(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word in self._commands:
            self._commands[word](rest.strip())
        elif word.startswith("/") and not word.startswith("//"):
            self._output.print_error(gettext("Unknown command %(command)s. /help lists all commands.", command=word))
        elif line:
            # Two slashes are one slash of a question.
            self._ask_question(line[1:] if line.startswith("//") else line)

    def _ask_question(self, text: str) -> None:
        self._output.show_answer(follow_answer(self._client, self._client.ask_question(text)))

    def _start_conversation(self, _rest: str) -> None:
        self._client.start_conversation()
        self._output.print_info(gettext("New chat."), style="dim")

    def _list_conversations(self, _rest: str) -> None:
        listed = self._client.list_conversations()
        self._listed_ids = [conversation.public_id for conversation in listed]
        self._output.print_conversations(listed)

    def _open_conversation(self, rest: str) -> None:
        if not self._listed_ids:
            self._listed_ids = [conversation.public_id for conversation in self._client.list_conversations()]
        number = int(rest) if rest.isascii() and rest.isdecimal() else 0
        if not 1 <= number <= len(self._listed_ids):
            self._output.print_error(gettext("Choose a chat by its number in /list, for example /open 1."))
            return
        self._client.conversation_id = self._listed_ids[number - 1]
        self._output.print_transcript(self._client.list_messages())

    def _show_or_choose_model(self, rest: str) -> None:
        if rest:
            self._client.choose_model(model=rest)
            self._print_model()
            return
        card, _ = self._client.current_model()
        self._output.print_models(self._client.list_models(), card)
        self._output.print_info(f"{card.entry.title}: {gettext(card.entry.purpose)}")
        self._output.print_info(gettext("License: %(license)s", license=gettext(card.entry.license_name)))
        self._output.print_info(gettext(card.entry.limitations))

    def _choose_preset(self, rest: str) -> None:
        if rest:
            self._client.choose_model(preset=rest)
        self._print_model()

    def _print_model(self) -> None:
        card, preset = self._client.current_model()
        self._output.print_info(
            gettext("Next answers: %(model)s, %(preset)s.", model=card.entry.title, preset=gettext(preset))
        )

    def _print_prompt_report(self, _rest: str) -> None:
        self._output.print_prompt_report(self._client.find_prompt_report())

    def _print_link(self, _rest: str) -> None:
        self._output.print_info(self._site + self._client.create_link())
        self._output.print_info(gettext("Open it within ten minutes in the browser you want to connect."), style="dim")

    def _print_help(self, _rest: str) -> None:
        for command, meaning in (
            ("/new", gettext("start a new chat")),
            ("/list", gettext("list the chats")),
            ("/open N", gettext("continue chat N of the list")),
            ("/model", gettext("list the models and show the current one")),
            ("/model NAME", gettext("change the model for the next answers")),
            ("/preset NAME", gettext("change the style: precise, balanced or creative")),
            ("/why", gettext("show what the model read for the last answer")),
            ("/link", gettext("open these chats in a browser")),
            ("/quit", gettext("quit, like Ctrl-D")),
            ("Ctrl-C", gettext("stop the answer")),
            ("//…", gettext("ask a question that starts with a slash")),
        ):
            self._output.print_info(f"{command:12} {meaning}")


def _create_private_file(path: Path) -> Path:
    """Create the history file, readable by its owner only."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    return path
