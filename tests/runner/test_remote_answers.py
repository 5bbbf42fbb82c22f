"""The whole site with models elsewhere: they answer and stop, and nothing is lost when runner and server are killed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from chatsite.engine.catalog.endpoints import name_for
from chatsite.engine.remote.continuation import BEGINNING
from tests.support.llama_server import MODEL, LlamaServer, running_llama_server
from tests.support.model_server import ModelServer, delta, event, head, openai_stream
from tests.support.served_site import HttpVisitor, ServedSite, running_site, wait_until
from tests.support.server_families import ServerFamily

pytestmark = pytest.mark.timeout(1200)

WORD_SECONDS = 0.05
COUNT = "Count from one to one hundred in words."


class SlowServer(ServerFamily):
    """Writes the question back, word by word and slowly, and goes on with what was written."""

    def describe_model(self) -> dict[str, object]:
        return {**super().describe_model(), "context_length": 100_000}

    def answer(self, body: dict[str, object]) -> Iterator[object]:  # type: ignore[override]
        messages = body["messages"]
        assert isinstance(messages, list)
        if messages[-1]["content"] == BEGINNING:
            yield head()
            yield from openai_stream([" four"])
            return
        yield head()
        for word in self.words(body):
            time.sleep(WORD_SECONDS)
            yield event(delta(word))
        yield event(delta(finish="stop"))

    def words(self, body: dict[str, object]) -> list[str]:  # type: ignore[override]
        messages = body["messages"]
        assert isinstance(messages, list)
        question = [each["content"] for each in messages if each["role"] == "user"][-1]
        written = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        assert question.startswith(written), written
        return re.findall(r"\s*\S+", question[len(written) :])


@contextmanager
def site_at(folder: Path, url: str, model: str) -> Iterator[ServedSite]:
    """A site whose default model is one of an endpoint."""
    settings = {
        "ENDPOINT": url,
        "DEFAULT_MODEL": f"{name_for(url)}/{model}",
        "LEASE_SECONDS": "1.5",
        "MAX_ATTEMPTS": "100",
        "MAX_ANSWER_TOKENS": "2000",
        "RUNNER_MAX_BACKOFF_SECONDS": "0.5",
    }
    with running_site(folder, True, **settings) as running:
        yield running


def ask(site: ServedSite, text: str) -> tuple[HttpVisitor, str, str]:
    """A visitor who asked, with the conversation and the answer."""
    visitor = HttpVisitor(site.url)
    conversation = visitor.post_question(text, "token")
    return visitor, conversation, visitor.list_message_ids(conversation)[-1]


def shown_words(visitor: HttpVisitor, conversation: str, answer: str) -> list[str]:
    """The words of an answer on its page, finished or not."""
    page = visitor.get(f"/conversations/{conversation}").partition(f'<article id="message-{answer}"')[2]
    return re.findall(r"word\d+", page)


def strike(site: ServedSite, server: ModelServer, family: SlowServer, number: int) -> ModelServer:
    """Kill the runner or the server, in turn; the server is there again at once, as under a supervisor."""
    if number % 2 == 0:
        for runner in site.list_runners():
            runner.kill()
        return server
    server.close()
    return ModelServer(family.reply, server.port)


@pytest.mark.parametrize("strikes", [4, pytest.param(50, marks=pytest.mark.exhaustive)])
def test_killed_runners_and_servers_leave_a_whole_answer(tmp_path: Path, strikes: int) -> None:
    family = SlowServer()
    server = ModelServer(family.reply)
    # As long as a question may be, for many strikes.
    whole = " ".join(f"word{number}" for number in range(1, 200 + 14 * strikes))
    with site_at(tmp_path, server.url, family.model) as site:
        visitor, conversation, answer = ask(site, whole)
        for number in range(strikes):
            before = len(shown_words(visitor, conversation, answer))
            wait_until(
                lambda before=before: (
                    len(shown_words(visitor, conversation, answer)) > before or visitor.get_message_text(answer)
                ),
                what="More of the answer",
            )
            server = strike(site, server, family, number)
        wait_until(lambda: visitor.get_message_text(answer), what="The answer")
        assert visitor.get_message_text(answer) == whole
    server.close()


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    """A real llama.cpp, for all tests here."""
    with running_llama_server() as started:
        yield started


def read_database(site: ServedSite, query: str) -> list[tuple[str, ...]]:
    """Rows of the database of a site."""
    with closing(sqlite.connect(str(site.instance / "chatsite.db"))) as connection:
        return connection.execute(query).fetchall()


def written_text(site: ServedSite) -> str:
    """What is stored of the only answer that is being written."""
    return "".join(text for (text,) in read_database(site, "SELECT text FROM chunk ORDER BY seq"))


def last_status(site: ServedSite) -> str:
    """How the newest generation stands."""
    [(status,)] = read_database(site, "SELECT status FROM generation ORDER BY id DESC LIMIT 1")
    return status


def ask_until_it_writes(site: ServedSite, text: str) -> tuple[HttpVisitor, str]:
    """A visitor whose answer is being written, and that answer.

    A real model may say little and be done before anybody looks; then it is asked again.
    """
    while True:
        visitor, _, answer = ask(site, text)
        wait_until(lambda: len(written_text(site)) > 10 or last_status(site) == "done", what="The beginning")
        if last_status(site) != "done":
            return visitor, answer


def kill_runner_that_writes(site: ServedSite, text: str) -> tuple[HttpVisitor, str, str]:
    """A visitor, the answer whose runner was killed, and what was written of it."""
    while True:
        visitor, answer = ask_until_it_writes(site, text)
        (killed,) = site.list_runners()
        killed.kill()
        # Nothing is left of what was done just before.
        if beginning := written_text(site):
            return visitor, answer, beginning


def test_real_server_answers_and_survives_its_runner(tmp_path: Path, llama: LlamaServer) -> None:
    with site_at(tmp_path, llama.url, MODEL) as site:
        visitor, answer, beginning = kill_runner_that_writes(site, COUNT)
        wait_until(lambda: visitor.get_message_text(answer), what="The answer")
        assert last_status(site) == "done"
        text = visitor.get_message_text(answer)
        assert text.startswith(beginning.strip())
        # It goes on where it stopped. A small model may well come back to its first words later.
        assert not text[len(beginning.strip()) :].lstrip().startswith(beginning.strip())


def test_real_server_is_stopped(tmp_path: Path, llama: LlamaServer) -> None:
    with site_at(tmp_path, llama.url, MODEL) as site:
        visitor, answer = ask_until_it_writes(site, "Tell me a very long story.")
        visitor.post_form(f"/messages/{answer}/stream?_method=DELETE", {})
        wait_until(lambda: last_status(site) == "stopped", what="The end")
        assert visitor.get_message_text(answer)
        # Its place is free, so that the next question is answered.
        other, _, next_answer = ask(site, "What is a fox?")
        wait_until(lambda: other.get_message_text(next_answer), what="The next answer")
