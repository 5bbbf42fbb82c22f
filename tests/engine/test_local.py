"""The embedded engine on tiny models of either family: streams, stops, resumes, survives what goes wrong."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BlenderbotTokenizer

from chatsite.engine import Delta, Event, FinishReason, Progress, Started
from chatsite.engine.decoding import batching
from chatsite.engine.decoding.checkpoint import load
from chatsite.engine.decoding.stepping import Row
from chatsite.engine.local import DEAD, LocalEngine
from tests.engine import support
from tests.engine.support import LESSONS, ask, finish_of, gather, receipt_of, text_of, tokens_of

QUESTIONS = list(LESSONS)
# An answer of this length cannot end by itself, and the n-gram blocks do not stand in its way.
LONG = {"temperature": 2.0, "top_p": 1.0, "max_new_tokens": 100}


def answer(engine: LocalEngine, *texts: str, **options: Any) -> list[Event]:
    """All events of one request."""
    engine.submit(ask(*texts, **options))
    return gather(engine, 1)[1]


def reference(folder: Path, question: str) -> tuple[str, int]:
    """What `generate` answers greedily, and in how many tokens, with the settings of the family."""
    checkpoint = load(folder, torch.float32)
    model: Any = checkpoint.model
    settings: dict[str, Any] = {"do_sample": False, "num_beams": 1, "max_new_tokens": 60, "max_length": None}
    if checkpoint.family == "blenderbot":
        ids = support.BlenderbotFormat(checkpoint.tokenizer, "x", "1", 128, 2).prompt(ask(question), {}).ids
        settings |= {"no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 3, "min_new_tokens": 20}
        settings |= {"forced_eos_token_id": None, "decoder_start_token_id": 1}
    else:
        ids = support.ChatFormat(checkpoint.tokenizer, "x", "1", 256).prompt(ask(question), {}).ids
    inputs = torch.tensor([ids])
    output = model.generate(inputs, attention_mask=torch.ones_like(inputs), pad_token_id=0, eos_token_id=2, **settings)
    new = output[0, 1:] if checkpoint.family == "blenderbot" else output[0, len(ids) :]
    text = checkpoint.tokenizer.decode(new, skip_special_tokens=True)
    return text.removeprefix(" "), len(new) - 1


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_greedy_answer_is_that_of_generate_token_by_token(engine: LocalEngine, folder: Path, question: str) -> None:
    events = answer(engine, question, temperature=0.0, repetition_penalty=1.0)
    assert (text_of(events), tokens_of(events)) == reference(folder, question)
    assert finish_of(events).reason is FinishReason.END
    assert [event.tokens for event in events if isinstance(event, Delta)] == [1] * tokens_of(events)


def test_what_was_learnt_is_said_and_no_character_is_torn(engine: LocalEngine) -> None:
    events = answer(engine, "Say something odd.", temperature=0.0)
    assert text_of(events) == LESSONS["Say something odd."]
    assert not any("\ufffd" in event.text for event in events if isinstance(event, Delta))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_goes_on_after_its_prefix_as_if_never_interrupted(engine: LocalEngine, temperature: float) -> None:
    options = {"temperature": temperature, "seed": 11, "max_new_tokens": 40}
    events = answer(engine, QUESTIONS[1], **options)
    pieces = [event.text for event in events if isinstance(event, Delta)]
    whole, tried = "".join(pieces), 0
    for cut in range(1, len(pieces)):
        prefix = "".join(pieces[:cut])
        if same_tokens(engine, prefix, cut):
            tried += 1
            rest = answer(engine, QUESTIONS[1], prefix=prefix, **{**options, "max_new_tokens": 40 - cut})
            assert prefix + text_of(rest) == whole
    # A first token that is only the space in front of the answer gives no prefix.
    assert tried >= (len(pieces) - 2 if temperature == 0 else 10)


def same_tokens(engine: LocalEngine, prefix: str, count: int) -> bool:
    """Whether a text is encoded as the tokens it was written in; a sampled one need not be."""
    speaker = engine._speaker
    return speaker is not None and len(speaker.format.prefix(prefix)) == count


def test_a_prefix_that_ends_with_a_space_is_gone_on_from_without_a_second_one(engine: LocalEngine) -> None:
    lesson = LESSONS[QUESTIONS[1]]
    prefix = lesson[: lesson.index("wild")]
    assert prefix.endswith(" ")
    assert prefix + text_of(answer(engine, QUESTIONS[1], prefix=prefix, temperature=0.0)) == lesson


def test_the_same_seed_gives_the_same_answer_and_the_receipt_tells_it(engine: LocalEngine) -> None:
    first = answer(engine, QUESTIONS[0], **LONG)
    options = receipt_of(first).options
    again = answer(engine, QUESTIONS[0], **LONG, seed=options["seed"])
    other = answer(engine, QUESTIONS[0], **LONG, seed=options["seed"] + 1)
    assert text_of(first) == text_of(again) != text_of(other)
    assert (options["temperature"], options["top_p"], options["max_new_tokens"]) == (2.0, 1.0, 100)


def test_the_receipt_says_what_the_model_saw(engine: LocalEngine, folder: Path) -> None:
    receipt = receipt_of(answer(engine, *["hello world " * 12] * 14, QUESTIONS[0], temperature=0.0))
    assert receipt.model == folder.name == engine.model
    assert len(receipt.revision) == 12
    assert 1 <= receipt.kept < 15
    assert receipt.turns[-1].kept
    assert receipt.used <= receipt.budget


def test_an_answer_ends_at_its_length(engine: LocalEngine) -> None:
    events = answer(engine, QUESTIONS[0], temperature=0.0, max_new_tokens=7)
    assert tokens_of(events) == 7
    assert finish_of(events).reason is FinishReason.LENGTH


def test_a_length_of_nothing_writes_nothing(engine: LocalEngine) -> None:
    events = answer(engine, QUESTIONS[0], max_new_tokens=0)
    assert [type(event) for event in events[:-1]] == [Started]
    assert finish_of(events).reason is FinishReason.LENGTH


def test_an_answer_ends_where_the_models_positions_end(
    engine: LocalEngine,
) -> None:
    speaker = engine._speaker
    assert speaker is not None
    object.__setattr__(speaker, "ends", frozenset())
    events = answer(engine, QUESTIONS[0], temperature=2.0, top_p=1.0, max_new_tokens=100_000)
    assert finish_of(events).reason is FinishReason.LENGTH
    blenderbot = speaker.checkpoint.family == "blenderbot"
    assert tokens_of(events) == (128 if blenderbot else 256 - receipt_of(events).used)


def test_an_answer_ends_at_its_deadline(engine: LocalEngine, slow_steps: None) -> None:
    events = answer(engine, QUESTIONS[0], **LONG, seconds=0.2)
    assert finish_of(events).reason is FinishReason.DEADLINE
    assert 0 < tokens_of(events) < 100


@pytest.fixture
def slow_steps(engine: LocalEngine) -> None:
    """Every step of the model takes 20 ms longer and nothing ends by itself."""
    speaker = engine._speaker
    assert speaker is not None
    object.__setattr__(speaker, "ends", frozenset())
    support.before_every_step(engine, lambda: time.sleep(0.02))


def wait_for_deltas(engine: LocalEngine, count: int) -> list[Event]:
    """The events up to when `count` tokens were written."""
    found: list[Event] = []
    while tokens_of(found) < count:
        found += engine.events(5.0)
    return found


def test_a_cancelled_answer_stops_within_one_step(engine: LocalEngine, slow_steps: None) -> None:
    engine.submit(ask(QUESTIONS[0], **LONG))
    before = wait_for_deltas(engine, 3)
    engine.cancel(1)
    after = gather(engine, 1)[1]
    assert finish_of(after).reason is FinishReason.CANCELLED
    assert tokens_of(after) <= 1
    assert tokens_of(before) < 100
    assert finish_of(answer(engine, QUESTIONS[0], max_new_tokens=5)).reason is FinishReason.LENGTH, (
        "the next one goes on"
    )


def test_a_waiting_request_is_cancelled_at_once_and_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    engine = LocalEngine(str(folder), tmp_path, threads=1, precision="fp32", budget=1)
    engine.load(lambda progress: None)
    support.before_every_step(engine, lambda: time.sleep(0.01))
    for number in (1, 2, 3):
        engine.submit(ask(QUESTIONS[0], number=number, temperature=0.0, max_new_tokens=9))
    wait_for_deltas(engine, 1)
    engine.cancel(2)
    engine.cancel(99)
    found = gather(engine, 1, 2, 3)
    assert [type(event).__name__ for event in found[2]] == ["Finish"]
    assert finish_of(found[2]).reason is FinishReason.CANCELLED
    assert [finish_of(found[number]).reason for number in (1, 3)] == [FinishReason.LENGTH] * 2
    assert tokens_of(found[3]) == 9
    engine.close()


def test_a_long_prompt_can_be_cancelled_while_it_is_read(
    chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "PIECE", 4)
    engine = LocalEngine(str(chat_folder), tmp_path, threads=1, precision="fp32")
    engine.load(lambda progress: None)
    support.before_every_step(engine, lambda: time.sleep(0.02))
    engine.submit(ask("word " * 300, max_new_tokens=100))
    assert isinstance(engine.events(5.0)[0], Started)
    engine.cancel(1)
    events = gather(engine, 1)[1]
    assert finish_of(events).reason is FinishReason.CANCELLED
    assert tokens_of(events) == 0
    engine.close()


def test_a_prompt_read_in_pieces_gives_the_same_answer(
    chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = []
    for piece in (256, 7):
        monkeypatch.setattr(batching, "PIECE", piece)
        engine = LocalEngine(str(chat_folder), tmp_path, threads=1, precision="fp32")
        engine.load(lambda progress: None)
        texts.append(text_of(answer(engine, "hello", "Hello world", "Tell me more " * 5, temperature=0.0)))
        engine.close()
    assert texts[0] == texts[1] != ""


def test_one_request_that_goes_wrong_leaves_the_others_alone(engine: LocalEngine) -> None:
    assert engine._speaker is not None
    stepper: Any = engine._speaker.stepper
    step = stepper.step

    def fail(rows: Sequence[Row]) -> torch.Tensor:
        # The prompts tell the requests apart; the one that asks about France breaks after some tokens.
        if any(row.prompt == broken and row.read > len(broken) % 128 + 3 for row in rows):
            raise RuntimeError("out of memory")
        logits: torch.Tensor = step(rows)
        return logits

    broken = engine._speaker.format.prompt(ask(QUESTIONS[0]), {}).ids
    stepper.step = fail
    for number, question in enumerate((QUESTIONS[1], QUESTIONS[0], QUESTIONS[2])):
        engine.submit(ask(question, temperature=0.0, number=number))
    found = gather(engine, 0, 1, 2)
    assert (finish_of(found[1]).reason, finish_of(found[1]).error) == (FinishReason.ERROR, "out of memory")
    assert [text_of(found[number]) for number in (0, 2)] == [LESSONS[QUESTIONS[1]], LESSONS[QUESTIONS[2]]]
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]


@pytest.mark.parametrize(
    ("texts", "persona", "error"),
    [
        ((" ",), [], "Write something first"),
        (("Hi",), ["Obey. " * 2000], "do not fit"),
        (("\ud800",), [], ""),
    ],
    ids=["empty", "persona", "surrogate"],
)
def test_a_prompt_that_cannot_be_built_is_an_error_of_that_request(
    engine: LocalEngine, texts: tuple[str, ...], persona: list[str], error: str
) -> None:
    finish = finish_of(answer(engine, *texts, persona=persona))
    assert finish.reason is FinishReason.ERROR
    assert finish.error
    assert error in finish.error
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_thread_dies_nobody_is_left_waiting(engine: LocalEngine, slow_steps: None) -> None:
    class Death(BaseException):
        """What no handler of one request may swallow."""

    def die() -> None:
        raise Death

    for number in (1, 2):
        engine.submit(ask(QUESTIONS[0], number=number, **LONG))
    wait_for_deltas(engine, 1)
    support.before_every_step(engine, die)
    found = gather(engine, 1, 2)
    engine.submit(ask(QUESTIONS[0], number=3))
    found |= gather(engine, 3)
    assert {finish_of(events).error for events in found.values()} == {DEAD}
    assert {finish_of(events).reason for events in found.values()} == {FinishReason.ERROR}


def test_closing_ends_the_thread_without_a_finish(engine: LocalEngine, slow_steps: None) -> None:
    engine.submit(ask(QUESTIONS[0], **LONG))
    wait_for_deltas(engine, 1)
    engine.close()
    assert "local-engine" not in {thread.name for thread in threading.enumerate()}
    assert all(isinstance(event, Delta) for event in engine.events(0.0))


def test_waiting_for_events_ends_in_time(engine: LocalEngine) -> None:
    start = time.monotonic()
    assert engine.events(0.05) == []
    assert time.monotonic() - start > 0.04


def test_loading_is_reported_and_threads_are_set(chat_folder: Path, tmp_path: Path) -> None:
    stages: list[Progress] = []
    engine = LocalEngine(str(chat_folder), tmp_path, threads=1, precision="fp32")
    engine.load(stages.append)
    assert stages == [Progress("loading")]
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]
    engine.close()


def test_bfloat16_computes_too(chat_folder: Path, tmp_path: Path) -> None:
    engine = LocalEngine(str(chat_folder), tmp_path, threads=1, precision="bf16")
    engine.load(lambda progress: None)
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]
    engine.close()


def test_blenderbot_with_its_real_tokenizer_writes_like_generate(tmp_path: Path) -> None:
    tokenizer = BlenderbotTokenizer.from_pretrained(support.real_tokenizer_folder())
    folder = support.make_blenderbot_model(tmp_path / "real", tokenizer)
    engine = LocalEngine(str(folder), tmp_path, threads=1, precision="fp32")
    engine.load(lambda progress: None)
    for question in QUESTIONS[:3]:
        events = answer(engine, question, temperature=0.0)
        assert (text_of(events), tokens_of(events)) == reference(folder, question)
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]
    engine.close()


def test_many_requests_run_together_and_each_is_answered(engine: LocalEngine) -> None:
    assert engine.capacity > 4
    running: list[int] = []
    stepper: Any = engine._speaker.stepper if engine._speaker else None
    support.before_every_step(engine, lambda: running.append(len(stepper.rows)))
    for number in range(12):
        engine.submit(ask(QUESTIONS[1 + number % 3], temperature=0.0, number=number))
    found = gather(engine, *range(12))
    assert max(running) > 4
    for number, events in found.items():
        assert text_of(events) == LESSONS[QUESTIONS[1 + number % 3]]
        assert isinstance(events[0], Started)
        assert finish_of(events).reason is FinishReason.END


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_only_what_is_unfinished_ends_when_the_thread_dies(engine: LocalEngine) -> None:
    class Death(BaseException):
        """What no handler of one request may swallow."""

    def die(rows: Sequence[Row]) -> torch.Tensor:
        raise Death

    assert engine._speaker is not None
    stepper: Any = engine._speaker.stepper
    assert finish_of(answer(engine, QUESTIONS[1], temperature=0.0)).reason is FinishReason.END
    stepper.step = die
    engine.submit(ask(QUESTIONS[0], number=2))
    assert finish_of(gather(engine, 2)[2]).error == DEAD
    assert engine.events(0.1) == []


def test_a_start_brings_neither_compiler_nor_distributed_tensors_and_both_can_be_had(chat_folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from chatsite.engine.local import LocalEngine\n"
        f"engine = LocalEngine({str(chat_folder)!r}, Path('.'), threads=1); engine.load(lambda progress: None)\n"
        "assert not {'torch._dynamo.utils', 'torch.distributed.tensor'} & set(sys.modules)\n"
        "import torch; from transformers import masking_utils\n"
        "assert 'higher_order_op' in type(masking_utils.TransformGetItemToIndex()).__module__\n"
        "assert torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)) == 2\n"
        "engine.close()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
