"""The process that renders may die over a text, and no text takes more than its limit."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from chatsite.rendering.decoration import ENGLISH, decorate_block
from chatsite.rendering.markdown_parser import MAX_SOURCE_CHARS
from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.rendering.process.renderer import Renderer, shared_renderer
from tests.rendering.dom import parse_html
from tests.support.whole_texts import render_block, render_markdown

# `\hat` takes the bracket that would close an interval, so each of these doubles the time of the converter.
ENDLESS_FORMULA = "$" + r"\hat]0,1[" * 30 + "$"
TEXT = "# a\n\nb **c** $x^2$\n\n```python\nif d:\n```\n"


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    new_renderer = Renderer()
    yield new_renderer
    new_renderer.close()


def render(renderer: Renderer, text: str, budget: RenderBudget | None = None) -> str:
    blocks = renderer.render_text(text, budget or RenderBudget())
    return "".join(decorate_block(block, ENGLISH) for block in blocks)


def process_id(renderer: Renderer) -> int:
    assert renderer._process._running
    return renderer._process._running[0].pid


def is_running(pid: int) -> bool:
    """Whether a process is there; a container may have nobody who reaps an orphan."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_renders_as_pure_functions_do(renderer: Renderer) -> None:
    assert render(renderer, TEXT) == render_markdown(TEXT)
    for is_open in (False, True):
        block = renderer.render_block("```python\nif d:\n```\n", RenderBudget(), is_open=is_open, level=4)
        assert decorate_block(block, ENGLISH) == render_block("```python\nif d:\n```\n", not is_open, level=4)
    assert render(renderer, "\ud800\0") == render_markdown("\ud800\0")


def test_process_dies_over_endless_formula_and_its_block_is_code(renderer: Renderer) -> None:
    before = render(renderer, "warm")
    pid = process_id(renderer)
    page = parse_html(render(renderer, f"before $y$\n\nan {ENDLESS_FORMULA} is code\n\nafter $z$"))
    assert [code.text for code in page.find_all("code")] == [ENDLESS_FORMULA]
    assert [formula.text for formula in page.find_all("annotation")] == ["y", "z"]
    assert "is code" in page.text
    assert process_id(renderer) != pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert render(renderer, "warm") == before


def test_code_over_which_a_lexer_kills_the_process_has_no_colors(renderer: Renderer) -> None:
    """One regular expression of the lexer of MATLAB takes seconds for empty lines, and holds the interpreter."""
    lines = "\n" * 19_000
    page = parse_html(render(renderer, f"```matlab\nx = 1;{lines}```\n\n*after*"))
    (code,) = page.find_all("code")
    assert code.text == f"x = 1;{lines}"
    assert code.attributes == {"class": "language-matlab"}
    assert not code.find_all("span")
    assert [element.text for element in page.find_all("em")] == ["after"]


def test_text_that_killed_the_process_does_not_kill_another(renderer: Renderer) -> None:
    first = render(renderer, ENDLESS_FORMULA)
    pid = process_id(renderer)
    assert render(renderer, ENDLESS_FORMULA) == first
    assert process_id(renderer) == pid


def test_open_end_of_growing_text_may_be_endless(renderer: Renderer) -> None:
    block = renderer.render_block(f"a {ENDLESS_FORMULA}", RenderBudget(), is_open=True, level=0)
    assert ENDLESS_FORMULA in parse_html(block.html).text


def test_growing_text_kills_the_process_once(renderer: Renderer) -> None:
    """Each event of a stream has the formula and a word more."""
    processes: list[int] = []
    for length in range(8):
        source = f"a $x$ {ENDLESS_FORMULA} and" + " more" * length
        block = renderer.render_block(source, RenderBudget(), is_open=True, level=0)
        processes.append(process_id(renderer))
        assert parse_html(block.html).text.rstrip().endswith("and" + " more" * length)
    assert len(set(processes)) == 1
    other = renderer.render_block("b $y$", RenderBudget(), is_open=True, level=0)
    assert [formula.text for formula in parse_html(other.html).find_all("annotation")] == ["y"]


def test_text_that_took_a_budget_is_not_tried_again_at_once(renderer: Renderer) -> None:
    slow = "```csharp\n" + "a\n" * 4700 + "```\n"
    text = "".join(f"{number}\n\n{slow}\n" for number in range(3)) + "```python\nif d:\n```\n"
    first = render(renderer, text, RenderBudget(seconds=0.3, detailed_seconds=0.1))
    budget = RenderBudget()
    assert render(renderer, text, budget) == first
    assert budget == RenderBudget()
    # A file has the time for all of it.
    assert render(renderer, text, RenderBudget(seconds=60.0, detailed_seconds=60.0)) != first


def test_text_that_took_a_budget_is_tried_again_after_some_time(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatsite.rendering.process.renderer.UNFINISHED_SECONDS", -1.0)
    text = ("```csharp\n" + "a\n" * 4700 + "```\n") * 2
    render(renderer, text, RenderBudget(seconds=0.2, detailed_seconds=0.1))
    budget = RenderBudget()
    render(renderer, text, budget)
    assert budget.seconds < RenderBudget.seconds


def test_threads_that_want_the_same_text_render_it_once(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []
    iter_responses = renderer._process.iter_responses

    def watch(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        requests.append(request["source"])
        return iter_responses(request)

    monkeypatch.setattr(renderer._process, "iter_responses", watch)
    monkeypatch.setattr(renderer._cache, "get", miss_once_per_thread(renderer._cache.get))
    pages: list[str] = []
    threads = [threading.Thread(target=lambda: pages.append(render(renderer, TEXT))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert pages == [render_markdown(TEXT)] * 4
    assert requests == [TEXT]


def miss_once_per_thread(get: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return what a cache finds, but nothing for the first question of a thread: as if all had asked at once."""
    asked = threading.local()

    def find(key: bytes) -> Any:
        if not hasattr(asked, "once"):
            asked.once = True
            return None
        return get(key)

    return find


def test_budget_of_stream_grows_with_its_time() -> None:
    budget = RenderBudget()
    for _ in range(20):
        budget.spend(0.2)
        budget.refill(1.0)
    assert budget == RenderBudget()
    for _ in range(20):
        budget.spend(0.25)
        budget.refill(0.1)
    assert budget.is_spent
    budget.refill(3600.0)
    assert budget == RenderBudget()


def test_killed_process_is_replaced(renderer: Renderer) -> None:
    render(renderer, "a")
    os.kill(process_id(renderer), signal.SIGKILL)
    assert render(renderer, "b **c**") == render_markdown("b **c**")


def test_text_is_shown_as_written_where_no_process_can_start(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        assert parse_html(render(renderer, "a **b**")).find_all("code")[0].text == "a **b**"
    assert render(renderer, "a **b**") == render_markdown("a **b**")


def test_budget_is_shared_and_all_text_is_shown(renderer: Renderer) -> None:
    """The lexer of C# takes its time over lines with one letter: without a budget these took twelve seconds."""
    budget = RenderBudget(seconds=0.6, detailed_seconds=0.3)
    lines = "a\n" * 4700
    texts = [f"```csharp\n{number}\n{lines}```\n\nafter *{number}*\n" for number in range(48)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pages = [parse_html(render(renderer, text, budget)) for text in texts]
    renderer.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 4
    for number, page in enumerate(pages):
        assert page.text.count("a\n") == 4700
        assert f"{number}\na\na\n" in page.text
    assert not parse_html(render(renderer, texts[-1], budget)).find_all("em")
    # What a budget kept from being rendered is rendered for the next page.
    assert [em.text for em in parse_html(render(renderer, texts[-1])).find_all("em")] == ["47"]


def test_spent_budget_renders_nothing(renderer: Renderer) -> None:
    for budget in (RenderBudget(seconds=0), RenderBudget(max_wait_seconds=0)):
        assert parse_html(render(renderer, "a **b** \x00", budget)).find_all("code")[0].text == "a **b** \ufffd"
    assert renderer._process._running is None


def test_text_waits_for_others_no_longer_than_its_budget(renderer: Renderer) -> None:
    with renderer._lock:
        budget = RenderBudget(max_wait_seconds=0.01)
        page = parse_html(render(renderer, "a **b**", budget))
    assert page.find_all("code")[0].text == "a **b**"
    assert budget.is_spent


def test_threads_share_a_process(renderer: Renderer) -> None:
    results: dict[int, str] = {}

    def render_many(thread: int) -> None:
        results[thread] = "".join(render(renderer, f"*{thread}.{number}*") for number in range(20))

    threads = [threading.Thread(target=render_many, args=(thread,)) for thread in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert results == {
        thread: "".join(render_markdown(f"*{thread}.{number}*") for number in range(20)) for thread in range(4)
    }


def test_large_texts_are_cached_within_bound(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    render(renderer, "warm")
    large = "word " * 15_000 + "\n"
    first = render(renderer, large)
    with monkeypatch.context() as patch:
        patch.setattr(renderer._process, "iter_responses", lambda request: pytest.fail("rendered twice"))
        assert render(renderer, large) == first
        # A text that is never parsed needs no process either.
        assert "figure" in render(renderer, "a" * (MAX_SOURCE_CHARS + 1))
    monkeypatch.setattr(renderer._cache, "_max_bytes", 300_000)
    for number in range(6):
        render(renderer, f"{number} {large}")
    assert 0 < renderer._cache.total_bytes <= 300_000


def test_process_ends_with_its_parent_and_another_is_made_after_a_fork() -> None:
    """In a process of its own: forks and signals."""
    script = """
import os, sys
from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.rendering.process.renderer import shared_renderer
shared_renderer().render_text("a", RenderBudget())
pid = shared_renderer()._process._running[0].pid
child = os.fork()
shared_renderer().render_text("b", RenderBudget())
if child == 0:
    os._exit(0 if shared_renderer()._process._running[0].pid != pid else 1)
assert os.waitpid(child, 0)[1] == 0
assert shared_renderer()._process._running[0].pid == pid
print(pid, flush=True)
if len(sys.argv) > 1:
    os.kill(os.getpid(), 9)
"""
    for arguments, status in ([], 0), (["killed"], -signal.SIGKILL):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (status, "")
        while is_running(int(done.stdout)):
            time.sleep(0.01)


def test_one_renderer_for_all() -> None:
    assert shared_renderer() is shared_renderer()
