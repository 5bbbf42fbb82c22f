"""`chatsite chat` and `chatsite link`: the conversations in the terminal, and the way from there to a browser."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from flask_babel import force_locale

from chatsite import create_app
from chatsite.cli.database import bring_up_to_date
from chatsite.cli.screen import ending_of, harmless
from chatsite.cli.speech import language, translated
from chatsite.cli.terminal import Terminal
from chatsite.cli.watching import watch
from chatsite.errors import ChatsiteError
from chatsite.models import Status

FAILED = 1
INTERRUPTED = 128 + signal.SIGINT


def chat(site: str) -> int:
    """Talk until the visitor leaves, or answer what is piped in; returns the exit status.

    `site` is the address of the site. Raises ConfigError for a setting that cannot be used.
    """
    with _terminal() as terminal:
        try:
            if sys.stdin.isatty() and sys.stdout.isatty():
                from chatsite.cli.interactive import Session

                Session(terminal, site).run()
                return 0
            return _answer(terminal, sys.stdin.read())
        except ChatsiteError as error:
            print(translated(error), file=sys.stderr)
            return FAILED
        except BrokenPipeError:
            # Nobody reads any more; Python would complain once more when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED


def link(site: str) -> str:
    """The address that makes a browser the terminal's visitor."""
    with _terminal() as terminal:
        return site + terminal.link()


@contextmanager
def _terminal() -> Iterator[Terminal]:
    """A terminal on the database that is set, in the language of the environment."""
    app = create_app({"LOG_LEVEL": "error"})
    bring_up_to_date(app)
    with app.app_context(), force_locale(language(app)):
        terminal = Terminal(app)
        try:
            yield terminal
        finally:
            terminal.leave()


def _answer(terminal: Terminal, question: str) -> int:
    """Print the bare answer to a question as it comes, drafts only once they are decided; returns the exit status."""
    name, shown = terminal.ask(question), 0
    tidy = harmless if sys.stdout.isatty() else str
    for answer in watch(terminal, name):
        if not answer.draft:
            sys.stdout.write(tidy(answer.text[shown:]))
            sys.stdout.flush()
            shown = len(answer.text)
    if shown and not answer.text.endswith("\n"):
        sys.stdout.write("\n")
        sys.stdout.flush()
    if answer.status is Status.DONE:
        return 0
    print(ending_of(answer), file=sys.stderr)
    return FAILED if answer.over and answer.status is not Status.STOPPED else INTERRUPTED
