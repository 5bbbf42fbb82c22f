"""Which turns are sent, and what the report says: learned from counts, or counted by the server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.engine.remote.counters import LlamaCppCounter, VllmCounter, join_pieces
from chatsite.engine.remote.history import CountedHistory, EstimatedHistory, ModelFacts
from chatsite.engine.remote.stream_parts import GarbageError
from chatsite.engine.remote.token_ledger import FIRST_CHARS_PER_TOKEN, MAX_REMEMBERED_TURNS, TokenLedger
from chatsite.engine.types import GenerationOptions, Request, Turn
from chatsite.errors import EmptyMessageError, PromptTooLongError
from tests.support.model_server import words_of

FRAME, FACTS = 4, ModelFacts("box/m", "m", 200)


def tokens(text: str) -> int:
    """The tokens of a text: its words."""
    return len(text.split())


def request(*texts: str, max_new_tokens: int = 50, persona: tuple[str, ...] = (), prefix: str = "") -> Request:
    """A conversation that begins with a question."""
    turns = tuple(Turn(("user", "assistant")[index % 2], text) for index, text in enumerate(texts))
    return Request(1, turns, GenerationOptions(max_new_tokens=max_new_tokens), persona=persona, prefix=prefix)


class WordCounter:
    """Counts words, and four tokens around each message."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def split_text(self, text: str) -> tuple[int, tuple[str, ...]]:
        self.texts.append(text)
        return tokens(text), tuple(words_of(text))

    async def count_prompt(self, messages: Sequence[Mapping[str, str]]) -> int:
        return sum(FRAME + tokens(message["content"]) for message in messages)


def words(number: int) -> str:
    """So many words."""
    return " ".join(["word"] * number)


def test_ledger_learns_each_question_from_two_counts() -> None:
    ledger = TokenLedger()
    assert not ledger.is_calibrated
    assert ledger.chars_per_token == FIRST_CHARS_PER_TOKEN
    first, second = [("user", "Who are you?")], ("user", "And what do you want of me today?")
    ledger.apply_count(first, 24)
    ledger.note_answer("A fox.", 5)
    ledger.apply_count([*first, ("assistant", "A fox."), second], 24 + 5 + 11)
    assert ledger.find_cost(*second) == pytest.approx(11)
    assert ledger.find_cost("assistant", " A fox.\n") == 5
    assert ledger.find_cost("user", "A fox.") is None
    assert ledger.is_calibrated


def test_ledger_shares_what_it_does_not_know_and_corrects_it_later() -> None:
    ledger = TokenLedger()
    pairs = [("user", "a" * 30), ("assistant", "b" * 60)]
    ledger.apply_count(pairs, 50)
    costs = [ledger.find_cost(*pair) or 0.0 for pair in pairs]
    assert sum(costs) == pytest.approx(50)
    assert costs[0] < costs[1]
    ledger.apply_count(pairs, 25)
    assert sum(ledger.find_cost(*pair) or 0.0 for pair in pairs) == pytest.approx(25)


def test_turn_that_comes_several_times_is_corrected_once() -> None:
    ledger = TokenLedger()
    pairs = [("user", "yes")] * 5
    ledger.apply_count(pairs, 100)
    ledger.apply_count(pairs, 80)
    assert ledger.find_cost("user", "yes") == pytest.approx(16)


def test_ledger_forgets_the_oldest() -> None:
    ledger = TokenLedger()
    for number in range(MAX_REMEMBERED_TURNS + 5):
        ledger.note_answer(f"answer {number}", 3)
    assert ledger.find_cost("assistant", "answer 4") is None
    assert ledger.find_cost("assistant", "answer 5") == 3


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=12), st.integers(0, 500))
def test_estimates_never_exceed_the_room(texts: list[str], count: int) -> None:
    history = EstimatedHistory(TokenLedger())
    made = request(*texts)
    try:
        sent = history.fit(made, FACTS, {})
    except (PromptTooLongError, EmptyMessageError):
        return
    report = sent.report
    assert report.used_tokens <= report.budget_tokens
    assert report.turns[-1].is_kept
    assert sent.turns[-1].text
    kept = [turn.index for turn in report.turns if turn.is_kept]
    assert [made.turns[index].role for index in kept[:1]] in (["user"], ["assistant"])
    counted = history.apply_count(made, sent, count, may_cut=True)
    assert (counted.counted_by, counted.used_tokens) == ("server", count)


def test_conversation_that_lost_its_beginning_begins_with_a_question() -> None:
    history = EstimatedHistory(TokenLedger())
    sent = history.fit(request(*[words(12)] * 11), FACTS, {})
    assert sent.turns[0].role == "user"
    assert 1 < sent.report.kept_turn_count < 11


def test_estimates_become_exact_for_all_but_the_newest_turn() -> None:
    history = EstimatedHistory(TokenLedger())
    texts = ["Who are you?"]
    for answer in ("I am a fox of the forest.", "Mice, mostly, and berries.", "At night."):
        made = request(*texts)
        sent = history.fit(made, FACTS, {})
        count = sum(FRAME + tokens(text) for text in texts)
        report = history.apply_count(made, sent, count, may_cut=False)
        assert sum(turn.token_count for turn in report.turns) == pytest.approx(count, abs=len(texts))
        texts += [answer, f"And then, after {answer}?"]
        history._ledger.note_answer(answer, tokens(answer))
    later = history.fit(request(*texts), FACTS, {})
    known = sum(turn.token_count for turn in later.report.turns[:-1])
    # The frame of an answer is counted with the question after it.
    assert known == pytest.approx(sum(FRAME + tokens(text) for text in texts[:-1]), abs=FRAME + len(texts))


def test_count_that_is_much_too_small_means_a_cut() -> None:
    history = EstimatedHistory(TokenLedger())
    made = request(words(60))
    sent = history.fit(made, FACTS, {})
    assert history.apply_count(made, sent, 10, may_cut=False).notes == ()
    assert history.apply_count(made, sent, 10, may_cut=True).notes == ("cut_by_server",)


def test_instructions_without_room_for_a_question_are_refused() -> None:
    with pytest.raises(PromptTooLongError):
        EstimatedHistory(TokenLedger()).fit(request("Hi", persona=(words(300),)), FACTS, {})
    with pytest.raises(PromptTooLongError):
        asyncio.run(CountedHistory(WordCounter()).fit(request("Hi", persona=(words(300),)), FACTS, {}))
    with pytest.raises(EmptyMessageError):
        asyncio.run(CountedHistory(WordCounter()).fit(request(" "), FACTS, {}))


@given(st.lists(st.integers(1, 90), min_size=1, max_size=14), st.integers(0, 30), st.integers(0, 20))
def test_counted_history_is_the_longest_that_fits(sizes: list[int], persona: int, prefix: int) -> None:
    # The newest turn is a question.
    sizes = sizes if len(sizes) % 2 else [*sizes, 5]
    made = request(*map(words, sizes), persona=(words(persona),) if persona else (), prefix=words(prefix))
    sent = asyncio.run(CountedHistory(WordCounter()).fit(made, FACTS, {}))
    report = sent.report
    system = FRAME + persona if persona else 0
    assert report.budget_tokens == FACTS.context_tokens - prefix - 50
    assert report.used_tokens == system + sum(FRAME + tokens(turn.text) for turn in sent.turns) <= report.budget_tokens
    first = len(sizes) - len(sent.turns)
    assert made.turns[first].role == "user" or first == 0
    if first >= 2:
        more = sum(FRAME + size for size in sizes[first - 2 : first])
        assert report.used_tokens + more > report.budget_tokens
    for turn, kept in zip(report.turns[first:], sent.turns, strict=True):
        assert "".join(turn.token_texts) in {kept.text, ""}


def test_long_conversation_is_not_counted_to_its_beginning() -> None:
    counter = WordCounter()
    asyncio.run(CountedHistory(counter).fit(request(*(f"{words(20)} {number}" for number in range(301))), FACTS, {}))
    assert len(counter.texts) < 20


def test_texts_are_counted_once() -> None:
    counter = WordCounter()
    history = CountedHistory(counter)
    for texts in (["a b"], ["a b", "c", "d"], ["a b", "c", "d", "e", "f"]):
        asyncio.run(history.fit(request(*texts), FACTS, {}))
    assert sorted(counter.texts) == sorted({*counter.texts})


def test_pieces_that_share_a_character_are_one() -> None:
    fox = "🦊".encode()
    assert join_pieces([b"A", fox[:2], fox[2:], b"!"], "A🦊!") == ("A", "🦊", "!")
    assert join_pieces([b"A"], "B") == ()
    assert join_pieces([b"A", None], "A") == ()
    assert join_pieces([fox[:2]], "🦊") == ()


def test_reply_that_is_no_count_is_garbage() -> None:
    async def post(path: str, body: Mapping[str, object]) -> object:
        return {"tokens": 3, "count": "many", "input_tokens": None}

    for counter in (LlamaCppCounter(post, "m"), VllmCounter(post, "m")):
        with pytest.raises(GarbageError):
            asyncio.run(counter.count_prompt([]))
        with pytest.raises(GarbageError):
            asyncio.run(counter.split_text("x"))
