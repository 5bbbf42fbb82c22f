"""What the model saw, lined up with the messages, and what it will see of the next question."""

from __future__ import annotations

import pytest

from chatsite.database import db, write
from chatsite.engine import Options, Request, Turn
from chatsite.engine.prompting.blenderbot import BlenderbotFormat
from chatsite.engine.prompting.chat import ChatFormat
from chatsite.engine.scripted import read
from chatsite.models import Conversation, Generation, Message, Role, Status
from chatsite.runner.receipts import compact
from chatsite.services import claims, generations, messages, receipts, windows
from chatsite.services.claims import Written
from chatsite.services.receipts import Outlook, Reading
from tests.conftest import LIMITS, People
from tests.engine import support


def ask(people: People, text: str, conversation: Conversation | None = None) -> Message:
    """Ask, in a new conversation unless one is given; returns the answer."""
    if conversation:
        return messages.post(people.alice, conversation, text, "", LIMITS).answer
    return messages.start(people.alice, text, "", text, LIMITS).answer


def answer(text: str, status: Status = Status.DONE, tokens: int | None = None, **changes: object) -> None:
    """Answer the waiting question as a runner does; `changes` replace parts of the receipt."""
    [claim] = claims.claim("runner", 1, 5, 2)
    receipt = compact(read(Request(1, claim.turns, Options(seed=7))), claim.turns) | changes
    count = len(text.split()) if tokens is None else tokens
    news = Written(claim.attempt, text=text, tokens=count, receipt=receipt, status=status, reason="end")
    claims.record("runner", {claim.generation_id: news}, 5)


def fresh(people: People, message: Message) -> Message:
    return messages.get(people.alice, message.public_id)


def reading(people: People, message: Message) -> Reading:
    found = receipts.reading(fresh(people, message))
    assert found is not None
    return found


def outlook(conversation: Conversation, typed: int = 0) -> Outlook:
    found = receipts.outlook(conversation, typed)
    assert found is not None
    return found


def talk(people: People, *words: int, budget: int = 100, **changes: object) -> tuple[Conversation, list[Message]]:
    """Questions and answers of so many words by turns; returns the conversation and its messages."""
    conversation = None
    for question, reply in zip(words[::2], words[1::2], strict=True):
        conversation = ask(people, "word " * question, conversation).conversation
        answer("word " * reply, budget=budget, **changes)
    assert conversation is not None
    return conversation, list(windows.until(conversation).messages)


def test_a_receipt_shows_the_texts_token_by_token(people: People) -> None:
    first = ask(people, "One  two\nthree")
    answer("Four five.")
    second = ask(people, "Six", first.conversation)
    answer("Seven.")
    found = reading(people, second)
    assert [(turn.role, turn.pieces, turn.head) for turn in found.turns] == [
        ("user", ("One", "  two", "\nthree"), ""),
        ("assistant", ("Four", " five."), ""),
        ("user", ("Six",), ""),
    ]
    assert (found.model, found.used, found.budget, found.options["seed"]) == ("scripted", 6, 2000, 7)
    assert [turn.pieces for turn in reading(people, first).turns] == [("One", "  two", "\nthree")]


def test_turns_that_were_left_out_are_told_apart(people: People) -> None:
    rows = [[0, "user", 900, False, False], [1, "assistant", 0, False, False], [2, "user", 1, True, False, [5]]]
    first = ask(people, "Early words")
    answer("An answer.")
    last = ask(people, "Later", first.conversation)
    answer("Done.", turns=rows, used=4)
    found = reading(people, last)
    assert [turn.text for turn in found.left_out] == ["Early words"]
    assert [turn.pieces for turn in found.kept] == [("Later",)]
    assert found.frame == 3


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
def test_every_kind_of_stored_turn_can_be_shown(
    people: People, row: list[object], head: str, pieces: tuple[str, ...]
) -> None:
    message = ask(people, "some older words")
    answer("Yes.", turns=[row])
    [turn] = reading(people, message).turns
    assert (turn.head, turn.pieces) == (head, pieces)


def test_a_receipt_with_more_turns_than_messages_lines_up_from_the_end(people: People) -> None:
    message = ask(people, "Here")
    answer(
        "Yes.", turns=[[0, "user", 1, True, False, [4]], [1, "assistant", 1, True, False], [2, "user", 1, True, False]]
    )
    assert [turn.text for turn in reading(people, message).turns] == ["", "", "Here"]
    assert reading(people, message).turns[0].pieces == ()


@pytest.mark.parametrize("receipt", [None, {}, {"model": "old"}, {"turns": []}])
def test_an_answer_without_a_receipt_has_no_reading_and_tells_nothing_of_the_next(
    people: People, receipt: dict[str, object] | None
) -> None:
    message = ask(people, "Hi")
    answer("Yes.")
    with write() as session:
        session.query(Generation).update({"receipt": receipt})
    db.session.expire_all()
    assert receipts.reading(fresh(people, message)) is None
    assert receipts.outlook(message.conversation) is None


def test_a_conversation_that_fits_has_no_cut(people: People) -> None:
    conversation, _ = talk(people, 10, 20, 10, 20)
    assert outlook(conversation) == Outlook(used=60, budget=100)


def test_what_is_typed_takes_room_and_pushes_the_oldest_out(people: People) -> None:
    conversation, said = talk(people, 10, 20, 10, 20)
    # So short a conversation says little of its tokens: four characters each.
    assert outlook(conversation, 100).used == 85
    assert not outlook(conversation, 160).cut
    assert outlook(conversation, 161).oldest == said[1]
    assert outlook(conversation, 201).oldest == said[2]
    alone = outlook(conversation, 10_000)
    assert (alone.cut, alone.oldest, alone.used) == (True, None, 100)


def test_the_cut_is_where_the_next_prompt_really_begins(people: People) -> None:
    words = (300, 400, 500, 200, 700, 100, 300, 50)
    conversation, said = talk(people, *words, budget=2000)
    for typed in (1, 250, 251, 600, 1900):
        question = Turn("user", "word " * typed)
        turns = (*(Turn(each.role.value, each.text) for each in said), question)
        real = next(turn.index for turn in read(Request(1, turns)).turns if turn.kept)
        view = outlook(conversation, 5 * typed - 1)
        assert view.oldest == (said[real] if real < len(said) else None), typed
        assert view.cut == (real > 0)


def test_a_chat_model_begins_with_a_question(people: People) -> None:
    conversation, said = talk(people, 10, 20, 10, 20, family="chat")
    assert outlook(conversation, 230).oldest == said[2]
    assert said[2].role is Role.USER


def test_what_the_format_adds_is_counted(people: People) -> None:
    conversation, said = talk(people, 10, 20, budget=100, frame=5.0, used=18)
    # 15 + 25 for what was said, 3 that are always there, and the frame of the question.
    assert outlook(conversation).used == 43
    assert outlook(conversation, 4).used == 49
    assert outlook(conversation, 240).oldest == said[1]


def test_an_answer_that_went_on_is_counted_by_its_length(people: People) -> None:
    message = ask(people, "word " * 60)
    answer("word " * 40, Status.STOPPED)
    assert outlook(message.conversation).used == 100
    generations.repeat(fresh(people, message), keep_text=True, limits=LIMITS)
    answer("word " * 40)
    assert outlook(message.conversation).used in range(135, 146)


def test_while_an_answer_is_written_its_question_counts(people: People) -> None:
    conversation, _ = talk(people, 10, 20)
    before = outlook(conversation).used
    ask(people, "word " * 20, conversation)
    assert outlook(conversation).used > before + 15


def test_an_answer_that_failed_early_leaves_the_one_before_it(people: People) -> None:
    conversation, _ = talk(people, 10, 20)
    ask(people, "Once more", conversation)
    [claim] = claims.claim("runner", 1, 5, 2)
    claims.record("runner", {claim.generation_id: Written(claim.attempt, status=Status.FAILED, reason="error")}, 5)
    assert outlook(conversation).used in range(31, 36)


def test_beyond_the_most_turns_there_is_always_a_cut(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation, said = talk(people, 1, 1, 1, 1)
    assert not outlook(conversation).cut
    monkeypatch.setattr(receipts, "MOST_TURNS", 3)
    assert outlook(conversation).oldest == said[1]


@pytest.mark.parametrize("reads", [ChatFormat, BlenderbotFormat])
def test_the_cut_is_where_a_models_own_prompt_begins(
    people: People, reads: type[ChatFormat] | type[BlenderbotFormat]
) -> None:
    """All that is not known of the next prompt is how many tokens the question has; here it is one."""
    tokenizer = support.chat_tokenizer()
    made = reads(tokenizer, "tiny", "1", 128, 2) if reads is BlenderbotFormat else reads(tokenizer, "tiny", "1", 160)
    conversation, cuts = None, set()
    for number in range(12):
        message = ask(people, f"Question {number} " * (number % 3 + 1), conversation)
        conversation = message.conversation
        [claim] = claims.claim("runner", 1, 5, 2)
        request = Request(1, claim.turns, Options(max_new_tokens=60))
        text = f"The answer {number}. " * (number % 2 + 1)
        tokens = len((made.text_ids if isinstance(made, ChatFormat) else made.segment)(text) or ())
        receipt = compact(made.prompt(request, {}).receipt, claim.turns)
        news = Written(claim.attempt, text, tokens, receipt, Status.DONE, "end")
        claims.record("runner", {claim.generation_id: news}, 5)
        said = windows.until(conversation).messages
        turns = (*(Turn(each.role.value, each.text) for each in said), Turn("user", "a"))
        real = made.prompt(Request(2, turns, Options(max_new_tokens=60)), {}).receipt
        start = next(turn.index for turn in real.turns if turn.kept)
        view = outlook(conversation, 1)
        assert view.oldest == (said[start] if 0 < start < len(said) else None), number
        assert abs(view.used - real.used) <= 1
        cuts.add(view.cut)
    assert cuts == {True, False}
