"""What the texts of one page may cost together, wherever they are shown."""

from __future__ import annotations

import re
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from markupsafe import Markup

from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.rendering.process.renderer import shared_renderer
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.web.chat import streams
from chatsite.web.core.blocks import render_growing_blocks
from tests.rendering.test_renderer import ENDLESS_FORMULA, is_running
from tests.support.served_site import HttpVisitor, running_site, wait_until
from tests.support.web_fixtures import WebClient, create_answer, iter_stream_events, message_ids

FinishAnswers = Callable[..., None]
LINES = "a\n" * 4700
MAX_WORKER_SECONDS = 1.0


def slow_answer(number: int) -> str:
    """Two seconds of colors: lines over which the lexer of C# takes its time."""
    return "\n".join(f"```csharp\n{number}-{block}\n{LINES}```\n" for block in range(8))


def child_seconds() -> float:
    """The processor time of all processes that rendered and are over."""
    shared_renderer().close()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_page_of_slow_answers_takes_bounded_work_and_shows_all_text(
    alice: WebClient, finish_answers: FinishAnswers
) -> None:
    conversation = alice.start_conversation()
    finish_answers(slow_answer(0))
    for number in range(1, 7):
        alice.post_question("again", conversation)
        finish_answers(slow_answer(number))
    before = child_seconds()
    page = alice.get(f"/conversations/{conversation}")
    # Fourteen seconds without a budget, two and one block with it.
    assert child_seconds() - before < 6
    assert page.status_code == 200
    assert page.text.count("a\na\n") >= 7 * 8 * 2300
    for number in range(7):
        for block in range(8):
            assert f"{number}-{block}\n" in re.sub(r"</?i[^>]*>", "", page.text)


@pytest.mark.parametrize("piece", ["#\n", "```\n\n```\n\n"])
def test_odd_answer_takes_little_of_the_worker_itself(
    alice: WebClient, finish_answers: FinishAnswers, piece: str
) -> None:
    """Not of the process that renders, but of the worker, in which all other visitors wait."""
    text = piece * (98_000 // len(piece))
    conversation = alice.start_conversation()
    finish_answers(text)
    shared = alice.send_form("POST", f"/conversations/{conversation}/shares", lifetime="never")
    token = shared.headers["Location"].rpartition("#share-")[2]
    page = get_in_time(alice, f"/conversations/{conversation}")
    get_in_time(alice, f"/shared/{token}")
    get_in_time(alice, f"/messages/{message_ids(page)[1]}/stream")


def get_in_time(client: WebClient, path: str) -> str:
    """Get a page that costs this thread less than the limit."""
    before = time.thread_time()
    page = client.get(path)
    seconds = time.thread_time() - before
    assert page.status_code == 200
    assert seconds < MAX_WORKER_SECONDS, (path, seconds)
    return page.text


@pytest.fixture
def spent_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets of which nothing is left."""
    monkeypatch.setattr(RenderBudget, "is_spent", True)


@pytest.mark.usefixtures("spent_budget")
def test_every_page_shows_texts_as_written_when_its_budget_is_spent(
    alice: WebClient, finish_answers: FinishAnswers
) -> None:
    conversation = alice.start_conversation()
    finish_answers("one **and** all")
    answer = message_ids(alice.get(f"/conversations/{conversation}").text)[1]
    shared = alice.send_form("POST", f"/conversations/{conversation}/shares", lifetime="never")
    token = shared.headers["Location"].rpartition("#share-")[2]
    for path in (
        f"/conversations/{conversation}",
        f"/messages/{answer}/stream",
        f"/shared/{token}",
        f"/conversations/{conversation}/export?format=html",
        "/export?format=html",
    ):
        text = alice.get(path).text
        assert "one **and** all" in text, path
        assert "<strong>and</strong>" not in text, path


@pytest.mark.usefixtures("spent_budget")
def test_growing_answer_is_shown_as_written_when_its_budget_is_spent(
    alice: WebClient, claim_next: Callable[[], ClaimedGeneration], write_answer: Callable[..., None]
) -> None:
    name = create_answer(alice)
    write_answer(claim_next(), "one **and**\n\ntwo **and** ")
    event = next(iter_stream_events(alice, name))
    assert "one **and**" in event
    assert "two **and**" in event


def test_stream_has_one_budget(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_answer: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A budget for each event would be none: there are ten events in a second."""
    budgets: list[RenderBudget] = []

    def watch(sources: list[str], budget: RenderBudget, *, first: int) -> list[Markup]:
        budgets.append(budget)
        return render_growing_blocks(sources, budget, first=first)

    monkeypatch.setattr(streams, "render_growing_blocks", watch)
    name, claim = create_answer(alice), claim_next()
    write_answer(claim, "one")
    events = iter_stream_events(alice, name)
    next(events)
    write_answer(claim, "one **and**")
    while "and" not in next(events):
        pass
    assert len(budgets) > 1
    assert all(budget is budgets[0] for budget in budgets)


@pytest.mark.exhaustive
def test_site_answers_while_endless_formulas_are_asked_for(tmp_path: Path) -> None:
    """Each of the conversations has a formula that nobody has seen, so each kills a process."""
    with running_site(tmp_path, WORKERS="1") as site:
        visitor = HttpVisitor(site.url)
        names = []
        for number in range(6):
            name = visitor.post_question(f"/say {number} {ENDLESS_FORMULA}\n\nend of it", f"key-{number}")
            answer = visitor.list_message_ids(name)[1]
            wait_until(lambda answer=answer: "end of it" in visitor.get_message_text(answer), what="The answer")
            names.append(name)
        pages: list[str] = []
        readers = [
            threading.Thread(target=lambda name=name: pages.append(visitor.get(f"/conversations/{name}")))
            for name in names
        ]
        for reader in readers:
            reader.start()
        while any(reader.is_alive() for reader in readers):
            # Without the process the worker would be killed after a minute, and answer nobody until then.
            assert site.is_alive()
        assert len(pages) == len(names)
        # On a busy machine a page may have waited so long for the others that it shows its texts as they were written.
        assert all(page.count("end of it") >= 2 for page in pages), "in the question and in the answer"
        assert any("end of it</p>" in page for page in pages)
        log = site.log.read_text()
        assert "render_process_ended" in log
        assert "WORKER TIMEOUT" not in log
        renderers = [child.pid for child in site.list_children() if child.cmdline()[-1].endswith("render_worker")]
        assert renderers
        site.process.terminate()
        wait_until(lambda: not any(map(is_running, renderers)), what="The end of the processes that render")
