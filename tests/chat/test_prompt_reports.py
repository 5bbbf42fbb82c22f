"""What the model saw, lined up with the messages, and what it will see of the next question."""

from __future__ import annotations

from typing import Any

import pytest

from chatsite.database import db, write_transaction
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.scripted import build_report
from chatsite.engine.types import GenerationOptions, Request, Turn
from chatsite.models import Conversation, Generation, Message, Role, Status
from chatsite.runner.prompt_reports import serialize_prompt_report
from chatsite.services.chat import (
    generation_leases,
    message_pages,
    messages,
    prompt_report,
    reruns,
)
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.prompt_report import ContextUsage, PromptReport
from tests.conftest import LIMITS, People
from tests.support import trained_models


def ask(people: People, text: str, conversation: Conversation | None = None) -> Message:
    """Ask, in a new conversation unless one is given; returns the answer."""
    if conversation:
        return messages.post_message(people.alice, conversation, messages.NewMessage(text), limits=LIMITS).answer
    return messages.start_conversation(
        people.alice, messages.NewConversation(text), messages.NewMessage(text), limits=LIMITS
    ).answer


def answer(text: str, status: Status = Status.DONE, tokens: int | None = None, **changes: object) -> None:
    """Answer the waiting question as a runner does; `changes` replace parts of the receipt."""
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    shown_report = (
        serialize_prompt_report(build_report(Request(1, claim.messages, GenerationOptions(seed=7))), claim.messages)
        | changes
    )
    count = len(text.split()) if tokens is None else tokens
    news = GenerationUpdate(
        claim.attempts, text=text, new_tokens=count, prompt_report=shown_report, status=status, finish_reason="end"
    )
    generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)


def fresh(people: People, message: Message) -> Message:
    return messages.get(people.alice, message.public_id)


def reading(people: People, message: Message) -> PromptReport:
    found = prompt_report.load(fresh(people, message))
    assert found is not None
    return found


def usage(conversation: Conversation, typed: int = 0) -> ContextUsage:
    found = prompt_report.estimate_context_usage(conversation, typed)
    assert found is not None
    return found


def talk(people: People, *words: int, budget: int = 100, **changes: Any) -> tuple[Conversation, list[Message]]:
    """Questions and answers of so many words by turns; returns the conversation and its messages."""
    conversation = None
    for question, reply in zip(words[::2], words[1::2], strict=True):
        conversation = ask(people, "word " * question, conversation).conversation
        answer("word " * reply, budget=budget, **changes)
    assert conversation is not None
    return conversation, list(message_pages.page_before(conversation).messages)


def test_prompt_report_splits_texts_into_tokens(people: People) -> None:
    first = ask(people, "One  two\nthree")
    answer("Four five.")
    second = ask(people, "Six", first.conversation)
    answer("Seven.")
    found = reading(people, second)
    assert [(turn.role, turn.token_texts, turn.unsplit_text) for turn in found.turns] == [
        ("user", ("One", "  two", "\nthree"), ""),
        ("assistant", ("Four", " five."), ""),
        ("user", ("Six",), ""),
    ]
    assert (found.model, found.used_tokens, found.budget_tokens, found.options["seed"]) == ("scripted", 6, 2000, 7)
    assert [turn.token_texts for turn in reading(people, first).turns] == [("One", "  two", "\nthree")]


def test_dropped_turns_are_reported_separately(people: People) -> None:
    rows = [[0, "user", 900, False, False], [1, "assistant", 0, False, False], [2, "user", 1, True, False, [5]]]
    first = ask(people, "Early words")
    answer("An answer.")
    last = ask(people, "Later", first.conversation)
    answer("Done.", turns=rows, used=4)
    found = reading(people, last)
    assert [turn.text for turn in found.dropped_turns] == ["Early words"]
    assert [turn.token_texts for turn in found.kept_turns] == [("Later",)]
    assert found.overhead_tokens == 3


@pytest.mark.parametrize(
    ("row", "head", "pieces"),
    [
        ([0, "user", 3, True, False], "some older words", ()),
        ([0, "user", 3, True, False, [6, 6]], "some", (" older", " words")),
        ([0, "user", 2, True, True, [6, 6]], "", (" older", " words")),
        ([0, "user", 3, True, False, [" some", " older", " words"]], "", (" some", " older", " words")),
        ([0, "user", 3, True, False, [400]], "some older words", ()),
    ],
    ids=["legacy", "the newest only", "cut", "as read", "of another text"],
)
def test_every_stored_turn_format_is_readable(
    people: People, row: list[object], head: str, pieces: tuple[str, ...]
) -> None:
    message = ask(people, "some older words")
    answer("Yes.", turns=[row])
    [turn] = reading(people, message).turns
    assert (turn.unsplit_text, turn.token_texts) == (head, pieces)


def test_prompt_report_with_extra_turns_aligns_from_end(people: People) -> None:
    message = ask(people, "Here")
    answer(
        "Yes.", turns=[[0, "user", 1, True, False, [4]], [1, "assistant", 1, True, False], [2, "user", 1, True, False]]
    )
    assert [turn.text for turn in reading(people, message).turns] == ["", "", "Here"]
    assert reading(people, message).turns[0].token_texts == ()


@pytest.mark.parametrize("shown_report", [None, {}, {"model": "old"}, {"turns": []}])
def test_answer_without_prompt_report_has_no_context_usage(
    people: People, shown_report: dict[str, object] | None
) -> None:
    message = ask(people, "Hi")
    answer("Yes.")
    with write_transaction() as session:
        session.query(Generation).update({"prompt_report": shown_report})
    db.session.expire_all()
    assert prompt_report.load(fresh(people, message)) is None
    assert prompt_report.estimate_context_usage(message.conversation) is None


def test_fitting_conversation_is_not_truncated(people: People) -> None:
    conversation, _ = talk(people, 10, 20, 10, 20)
    assert usage(conversation) == ContextUsage(used_tokens=60, budget_tokens=100)


def test_typed_text_pushes_out_oldest_messages(people: People) -> None:
    conversation, said = talk(people, 10, 20, 10, 20)
    # So short a conversation says little of its tokens: four characters each.
    assert usage(conversation, 100).used_tokens == 85
    assert not usage(conversation, 160).is_over_budget
    assert usage(conversation, 161).first_kept_message == said[1]
    assert usage(conversation, 201).first_kept_message == said[2]
    alone = usage(conversation, 10_000)
    assert (alone.is_over_budget, alone.first_kept_message, alone.used_tokens) == (True, None, 100)


def test_context_usage_matches_start_of_next_prompt(people: People) -> None:
    words = (300, 400, 500, 200, 700, 100, 300, 50)
    conversation, said = talk(people, *words, budget=2000)
    for typed in (1, 250, 251, 600, 1900):
        question = Turn("user", "word " * typed)
        turns = (*(Turn(each.role.value, each.text) for each in said), question)
        real = next(turn.index for turn in build_report(Request(1, turns)).turns if turn.is_kept)
        view = usage(conversation, 5 * typed - 1)
        assert view.first_kept_message == (said[real] if real < len(said) else None), typed
        assert view.is_over_budget == (real > 0)


def test_chat_model_prompt_starts_with_question(people: People) -> None:
    conversation, said = talk(people, 10, 20, 10, 20, family="chat")
    assert usage(conversation, 230).first_kept_message == said[2]
    assert said[2].role is Role.USER


def test_context_usage_counts_overhead_tokens(people: People) -> None:
    conversation, said = talk(people, 10, 20, budget=100, frame=5.0, used=18)
    # 15 + 25 for what was said, 3 that are always there, and the frame of the question.
    assert usage(conversation).used_tokens == 43
    assert usage(conversation, 4).used_tokens == 49
    assert usage(conversation, 240).first_kept_message == said[1]


def test_continued_answer_counts_full_length(people: People) -> None:
    message = ask(people, "word " * 60)
    answer("word " * 40, Status.STOPPED)
    assert usage(message.conversation).used_tokens == 100
    reruns.queue(fresh(people, message), keep_text=True, limits=LIMITS)
    answer("word " * 40)
    assert usage(message.conversation).used_tokens in range(135, 146)


def test_context_usage_learns_length_of_tokens_from_server(people: People) -> None:
    """A server counts without showing its tokens: what is typed is estimated by what it counted."""
    turns = [[0, "user", 100, True, False], [1, "assistant", 80, True, False], [2, "user", 50, True, False]]
    conversation, _ = talk(
        people, 40, 32, 20, 8, budget=1000, turns=turns, used=230, frame=0.0, counted_by="server", kept=3
    )
    # Five characters a word, and two tokens: a word takes 2.5 of them, as those that were counted.
    without = usage(conversation)
    assert usage(conversation, typed=100).used_tokens - without.used_tokens == pytest.approx(50, rel=0.05)
    assert not without.is_uncounted


def test_context_usage_says_that_nobody_counted(people: People) -> None:
    conversation, _ = talk(people, 4, 4, budget=1000, counted_by="estimated", notes=["cut_by_server", "?"])
    assert usage(conversation).is_uncounted
    report = reading(people, message_pages.page_before(conversation).messages[1])
    assert (report.counted_by, report.notes) == ("estimated", ("cut_by_server", "?"))


def test_context_usage_counts_pending_question(people: People) -> None:
    conversation, _ = talk(people, 10, 20)
    before = usage(conversation).used_tokens
    ask(people, "word " * 20, conversation)
    assert usage(conversation).used_tokens > before + 15


def test_context_usage_skips_answer_without_prompt_report(people: People) -> None:
    conversation, _ = talk(people, 10, 20)
    ask(people, "Once more", conversation)
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    generation_leases.heartbeat(
        "runner",
        {claim.generation_id: GenerationUpdate(claim.attempts, status=Status.FAILED, finish_reason="error")},
        5,
    )
    assert usage(conversation).used_tokens in range(31, 36)


def test_context_usage_truncates_beyond_max_turns(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation, said = talk(people, 1, 1, 1, 1)
    assert not usage(conversation).is_over_budget
    monkeypatch.setattr(prompt_report, "MAX_PROMPT_MESSAGES", 3)
    assert usage(conversation).first_kept_message == said[1]


@pytest.mark.parametrize("reads", [ChatFormat, BlenderbotFormat])
def test_context_usage_matches_prompt_of_real_formats(
    people: People, reads: type[ChatFormat] | type[BlenderbotFormat]
) -> None:
    """All that is not known of the next prompt is how many tokens the question has; here it is one."""
    tokenizer = trained_models.chat_tokenizer()
    made: ChatFormat | BlenderbotFormat = ChatFormat(tokenizer, "tiny", "1", 160)
    if reads is BlenderbotFormat:
        made = BlenderbotFormat(tokenizer, "tiny", "1", 128, 2)
    conversation, cuts = None, set()
    for number in range(12):
        message = ask(people, f"Question {number} " * (number % 3 + 1), conversation)
        conversation = message.conversation
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        request = Request(1, claim.messages, GenerationOptions(max_new_tokens=60))
        text = f"The answer {number}. " * (number % 2 + 1)
        tokens = len(made.encode_text(text) or ())
        shown_report = serialize_prompt_report(made.build_prompt(request, {}).report, claim.messages)
        news = GenerationUpdate(claim.attempts, text, tokens, shown_report, Status.DONE, "end")
        generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
        said = message_pages.page_before(conversation).messages
        turns = (*(Turn(each.role.value, each.text) for each in said), Turn("user", "a"))
        real = made.build_prompt(Request(2, turns, GenerationOptions(max_new_tokens=60)), {}).report
        start = next(turn.index for turn in real.turns if turn.is_kept)
        view = usage(conversation, 1)
        assert view.first_kept_message == (said[start] if 0 < start < len(said) else None), number
        assert abs(view.used_tokens - real.used_tokens) <= 1
        cuts.add(view.is_over_budget)
    assert cuts == {True, False}
