"""`chatsite chat` and `chatsite link`: conversations in the terminal, and how to open them in a browser."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from flask_babel import force_locale

from chatsite import create_app
from chatsite.cli.chat_client import ChatClient
from chatsite.cli.follow import follow_answer
from chatsite.cli.language import detect_language
from chatsite.cli.migrations import migrate_database
from chatsite.cli.output import ending_text, strip_control_chars
from chatsite.errors import ChatsiteError, InvalidEncodingError
from chatsite.i18n import translate_error
from chatsite.models import Status

EXIT_FAILED = 1
EXIT_INTERRUPTED = 128 + signal.SIGINT


def run_chat(site: str) -> int:
    """Chat until the user leaves, or answer the piped question. Return the exit status.

    `site` is the address of the site. Raises ConfigError for a setting that cannot be used.
    """
    with _open_client() as client:
        try:
            if sys.stdin.isatty() and sys.stdout.isatty():
                from chatsite.cli.repl import Repl

                Repl(client, site).run_until_quit()
                return 0
            return _answer_once(client, _read_question())
        except ChatsiteError as error:
            print(translate_error(error), file=sys.stderr)
            return EXIT_FAILED
        except BrokenPipeError:
            # Nobody reads any more; Python would complain once more when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_FAILED


def create_link(site: str) -> str:
    """Return the address that signs a browser in as the terminal's user."""
    with _open_client() as client:
        return site + client.create_link()


@contextmanager
def _open_client() -> Iterator[ChatClient]:
    """Connect a client to the configured database, in the language of the environment."""
    app = create_app({"LOG_LEVEL": "error"})
    migrate_database(app)
    with app.app_context(), force_locale(detect_language(app)):
        client = ChatClient(app)
        try:
            yield client
        finally:
            client.close()


def _read_question() -> str:
    """Return what is piped in. Raises InvalidEncodingError where Python would keep the bytes as they are."""
    encoding = sys.stdin.encoding
    try:
        return sys.stdin.buffer.read().decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidEncodingError(encoding=encoding.upper()) from error


def _answer_once(client: ChatClient, question: str) -> int:
    """Print only the answer to a question, provisional text once it is final. Return the exit status."""
    message_id, shown_chars = client.ask_question(question), 0
    clean = strip_control_chars if sys.stdout.isatty() else str
    for answer in follow_answer(client, message_id):
        if not answer.is_provisional:
            sys.stdout.write(clean(answer.text[shown_chars:]))
            sys.stdout.flush()
            shown_chars = len(answer.text)
    if shown_chars and not answer.text.endswith("\n"):
        sys.stdout.write("\n")
        sys.stdout.flush()
    if answer.status is Status.DONE:
        return 0
    print(ending_text(answer), file=sys.stderr)
    return EXIT_FAILED if answer.is_finished and answer.status is not Status.STOPPED else EXIT_INTERRUPTED
