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

from chatsite.engine.inference import scheduler
from chatsite.engine.inference.executor import SequenceGroup
from chatsite.engine.inference.loading.checkpoint import load_checkpoint
from chatsite.engine.local import LocalEngine
from chatsite.engine.types import Delta, Event, FinishReason, Progress, Started
from chatsite.errors import EngineDiedError
from tests.support import trained_models
from tests.support.trained_models import (
    LESSONS,
    collect_events,
    finish_of,
    make_request,
    report_of,
    text_of,
    tokens_of,
)

QUESTIONS = list(LESSONS)
# An answer of this length cannot end by itself, and the n-gram blocks do not stand in its way.
LONG: dict[str, Any] = {"temperature": 2.0, "top_p": 1.0, "max_new_tokens": 100}


def answer(engine: LocalEngine, *texts: str, **options: Any) -> list[Event]:
    """All events of one request."""
    engine.submit(make_request(*texts, **options))
    return collect_events(engine, 1)[1]


def reference(folder: Path, question: str) -> tuple[str, int]:
    """What `generate` answers greedily, and in how many tokens, with the settings of the family."""
    checkpoint = load_checkpoint(folder, torch.float32)
    model: Any = checkpoint.model
    settings: dict[str, Any] = {"do_sample": False, "num_beams": 1, "max_new_tokens": 60, "max_length": None}
    if checkpoint.family == "blenderbot":
        ids = (
            trained_models.BlenderbotFormat(checkpoint.tokenizer, "x", "1", 128, 2)
            .build_prompt(make_request(question), {})
            .ids
        )
        settings |= {"no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 3, "min_new_tokens": 20}
        settings |= {"forced_eos_token_id": None, "decoder_start_token_id": 1}
    else:
        ids = (
            trained_models.ChatFormat(checkpoint.tokenizer, "x", "1", 256).build_prompt(make_request(question), {}).ids
        )
    inputs = torch.tensor([ids])
    output = model.generate(inputs, attention_mask=torch.ones_like(inputs), pad_token_id=0, eos_token_id=2, **settings)
    new = output[0, 1:] if checkpoint.family == "blenderbot" else output[0, len(ids) :]
    text = checkpoint.tokenizer.decode(new, skip_special_tokens=True)
    assert isinstance(text, str)
    return text.removeprefix(" "), len(new) - 1


@pytest.mark.parametrize("question", QUESTIONS)
def test_greedy_answer_matches_generate(engine: LocalEngine, folder: Path, question: str) -> None:
    events = answer(engine, question, temperature=0.0, repetition_penalty=1.0)
    assert (text_of(events), tokens_of(events)) == reference(folder, question)
    assert finish_of(events).reason is FinishReason.END
    assert [event.token_count for event in events if isinstance(event, Delta)] == [1] * tokens_of(events)


def test_streamed_text_has_no_broken_characters(engine: LocalEngine) -> None:
    events = answer(engine, "Say something odd.", temperature=0.0)
    assert text_of(events) == LESSONS["Say something odd."]
    assert not any("\ufffd" in event.text for event in events if isinstance(event, Delta))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_continuation_matches_uninterrupted_answer(engine: LocalEngine, temperature: float) -> None:
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
    loaded = engine._loaded_model
    return loaded is not None and len(loaded.prompt_format.encode_prefix(prefix)) == count


def test_prefix_ending_with_space_adds_no_second_space(engine: LocalEngine) -> None:
    lesson = LESSONS[QUESTIONS[1]]
    prefix = lesson[: lesson.index("wild")]
    assert prefix.endswith(" ")
    assert prefix + text_of(answer(engine, QUESTIONS[1], prefix=prefix, temperature=0.0)) == lesson


def test_same_seed_repeats_answer_and_is_reported(engine: LocalEngine) -> None:
    first = answer(engine, QUESTIONS[0], **LONG)
    options = report_of(first).options
    again = answer(engine, QUESTIONS[0], **LONG, seed=options["seed"])
    other = answer(engine, QUESTIONS[0], **LONG, seed=options["seed"] + 1)
    assert text_of(first) == text_of(again) != text_of(other)
    assert (options["temperature"], options["top_p"], options["max_new_tokens"]) == (2.0, 1.0, 100)


def test_prompt_report_describes_model_input(engine: LocalEngine, folder: Path) -> None:
    report = report_of(answer(engine, *["hello world " * 12] * 14, QUESTIONS[0], temperature=0.0))
    assert report.model == folder.name == engine.model
    assert len(report.revision) == 12
    assert 1 <= report.kept_turn_count < 15
    assert report.turns[-1].is_kept
    assert report.used_tokens <= report.budget_tokens


def test_answer_ends_at_max_new_tokens(engine: LocalEngine) -> None:
    events = answer(engine, QUESTIONS[0], temperature=0.0, max_new_tokens=7)
    assert tokens_of(events) == 7
    assert finish_of(events).reason is FinishReason.LENGTH


def test_zero_max_new_tokens_writes_nothing(engine: LocalEngine) -> None:
    events = answer(engine, QUESTIONS[0], max_new_tokens=0)
    assert [type(event) for event in events[:-1]] == [Started]
    assert finish_of(events).reason is FinishReason.LENGTH


def test_answer_ends_at_context_limit(
    engine: LocalEngine,
) -> None:
    loaded = engine._loaded_model
    assert loaded is not None
    object.__setattr__(loaded, "eos_ids", frozenset())
    events = answer(engine, QUESTIONS[0], temperature=2.0, top_p=1.0, max_new_tokens=100_000)
    assert finish_of(events).reason is FinishReason.LENGTH
    blenderbot = loaded.checkpoint.family == "blenderbot"
    assert tokens_of(events) == (128 if blenderbot else 256 - report_of(events).used_tokens)


@pytest.mark.usefixtures("slow_steps")
def test_answer_ends_at_deadline(engine: LocalEngine) -> None:
    events = answer(engine, QUESTIONS[0], **LONG, seconds=1.0)
    assert finish_of(events).reason is FinishReason.DEADLINE
    assert 0 < tokens_of(events) < 100


@pytest.fixture
def slow_steps(engine: LocalEngine) -> None:
    """Every step of the model takes 20 ms longer and nothing ends by itself."""
    loaded = engine._loaded_model
    assert loaded is not None
    object.__setattr__(loaded, "eos_ids", frozenset())
    trained_models.before_every_step(engine, lambda: time.sleep(0.02))


def wait_for_deltas(engine: LocalEngine, count: int) -> list[Event]:
    """The events up to when `count` tokens were written."""
    found: list[Event] = []
    while tokens_of(found) < count:
        found += engine.poll_events(60.0)
    return found


@pytest.mark.usefixtures("slow_steps")
def test_canceled_answer_stops_within_one_step(engine: LocalEngine) -> None:
    steps: list[bool] = []
    trained_models.before_every_step(engine, lambda: steps.append(True))
    engine.submit(make_request(QUESTIONS[0], **LONG))
    before = wait_for_deltas(engine, 3)
    engine.cancel(1)
    taken = len(steps)
    after = collect_events(engine, 1)[1]
    assert finish_of(after).reason is FinishReason.CANCELED
    assert len(steps) <= taken + 1
    assert tokens_of(before) < 100
    assert finish_of(answer(engine, QUESTIONS[0], max_new_tokens=5)).reason is FinishReason.LENGTH, (
        "the next one goes on"
    )


def test_queued_request_is_canceled_without_affecting_others(folder: Path, tmp_path: Path) -> None:
    engine = LocalEngine(str(folder), tmp_path, thread_count=1, precision="fp32", cache_budget_bytes=1)
    engine.load(lambda progress: None)
    trained_models.before_every_step(engine, lambda: time.sleep(0.01))
    for number in (1, 2, 3):
        engine.submit(make_request(QUESTIONS[0], number=number, temperature=0.0, max_new_tokens=9))
    wait_for_deltas(engine, 1)
    engine.cancel(2)
    engine.cancel(99)
    found = collect_events(engine, 1, 2, 3)
    assert [type(event).__name__ for event in found[2]] == ["Finish"]
    assert finish_of(found[2]).reason is FinishReason.CANCELED
    assert [finish_of(found[number]).reason for number in (1, 3)] == [FinishReason.LENGTH] * 2
    assert tokens_of(found[3]) == 9
    engine.close()


def test_long_prefill_can_be_canceled(chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "PREFILL_TOKENS", 4)
    engine = LocalEngine(str(chat_folder), tmp_path, thread_count=1, precision="fp32")
    engine.load(lambda progress: None)
    trained_models.before_every_step(engine, lambda: time.sleep(0.02))
    engine.submit(make_request("word " * 300, max_new_tokens=100))
    assert isinstance(engine.poll_events(60.0)[0], Started)
    engine.cancel(1)
    events = collect_events(engine, 1)[1]
    assert finish_of(events).reason is FinishReason.CANCELED
    assert tokens_of(events) == 0
    engine.close()


def test_chunked_prefill_gives_same_answer(chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    for piece in (256, 7):
        monkeypatch.setattr(scheduler, "PREFILL_TOKENS", piece)
        engine = LocalEngine(str(chat_folder), tmp_path, thread_count=1, precision="fp32")
        engine.load(lambda progress: None)
        texts.append(text_of(answer(engine, "hello", "Hello world", "Tell me more " * 5, temperature=0.0)))
        engine.close()
    assert texts[0] == texts[1] != ""


def test_failing_request_does_not_affect_others(engine: LocalEngine) -> None:
    assert engine._loaded_model is not None
    model_executor: Any = engine._loaded_model.executor
    step = model_executor.decode_step

    def fail(rows: Sequence[SequenceGroup]) -> torch.Tensor:
        # The prompts tell the requests apart; the one that asks about France breaks after some tokens.
        if any(row.prompt_ids == broken and row.num_read > len(broken) % 128 + 3 for row in rows):
            raise RuntimeError("out of memory")
        logits: torch.Tensor = step(rows)
        return logits

    broken = engine._loaded_model.prompt_format.build_prompt(make_request(QUESTIONS[0]), {}).ids
    model_executor.decode_step = fail
    for number, question in enumerate((QUESTIONS[1], QUESTIONS[0], QUESTIONS[2])):
        engine.submit(make_request(question, temperature=0.0, number=number))
    found = collect_events(engine, 0, 1, 2)
    assert (finish_of(found[1]).reason, str(finish_of(found[1]).error_message)) == (FinishReason.ERROR, "out of memory")
    assert [text_of(found[number]) for number in (0, 2)] == [LESSONS[QUESTIONS[1]], LESSONS[QUESTIONS[2]]]
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]


@pytest.mark.parametrize(
    ("texts", "persona", "error"),
    [
        ((" ",), [], "Write a message first"),
        (("Hi",), ["Obey. " * 2000], "do not fit"),
        (("\ud800",), [], ""),
    ],
    ids=["empty", "persona", "surrogate"],
)
def test_invalid_prompt_fails_only_its_request(
    engine: LocalEngine, texts: tuple[str, ...], persona: list[str], error: str
) -> None:
    finish = finish_of(answer(engine, *texts, persona=persona))
    assert finish.reason is FinishReason.ERROR
    assert finish.error_message
    assert error in str(finish.error_message)
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("slow_steps")
def test_engine_thread_crash_fails_all_requests(engine: LocalEngine) -> None:
    class Death(BaseException):
        """What no handler of one request may swallow."""

    def die() -> None:
        raise Death

    for number in (1, 2):
        engine.submit(make_request(QUESTIONS[0], number=number, **LONG))
    wait_for_deltas(engine, 1)
    trained_models.before_every_step(engine, die)
    found = collect_events(engine, 1, 2)
    engine.submit(make_request(QUESTIONS[0], number=3))
    found |= collect_events(engine, 3)
    assert {finish_of(events).error_message for events in found.values()} == {EngineDiedError()}
    assert {finish_of(events).reason for events in found.values()} == {FinishReason.ERROR}


@pytest.mark.usefixtures("slow_steps")
def test_close_ends_thread_without_finish_event(engine: LocalEngine) -> None:
    engine.submit(make_request(QUESTIONS[0], **LONG))
    wait_for_deltas(engine, 1)
    engine.close()
    assert "local-engine" not in {thread.name for thread in threading.enumerate()}
    assert all(isinstance(event, Delta) for event in engine.poll_events(0.0))


def test_events_call_respects_timeout(engine: LocalEngine) -> None:
    start = time.monotonic()
    assert engine.poll_events(0.05) == []
    assert time.monotonic() - start > 0.04


def test_loading_progress_is_reported(chat_folder: Path, tmp_path: Path) -> None:
    stages: list[Progress] = []
    engine = LocalEngine(str(chat_folder), tmp_path, thread_count=1, precision="fp32")
    engine.load(stages.append)
    assert stages == [Progress("loading")]
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]
    engine.close()


def test_bfloat16_engine_answers(chat_folder: Path, tmp_path: Path) -> None:
    engine = LocalEngine(str(chat_folder), tmp_path, thread_count=1, precision="bf16")
    engine.load(lambda progress: None)
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]
    engine.close()


def test_blenderbot_with_original_tokenizer_matches_generate(tmp_path: Path) -> None:
    tokenizer = BlenderbotTokenizer.from_pretrained(trained_models.real_tokenizer_folder())
    folder = trained_models.make_blenderbot_model(tmp_path / "real", tokenizer)
    engine = LocalEngine(str(folder), tmp_path, thread_count=1, precision="fp32")
    engine.load(lambda progress: None)
    for question in QUESTIONS[:3]:
        events = answer(engine, question, temperature=0.0)
        assert (text_of(events), tokens_of(events)) == reference(folder, question)
    assert text_of(answer(engine, QUESTIONS[1], temperature=0.0)) == LESSONS[QUESTIONS[1]]
    engine.close()


def test_many_requests_are_batched_and_answered(engine: LocalEngine) -> None:
    assert engine.capacity > 4
    running: list[int] = []
    model_executor: Any = engine._loaded_model.executor if engine._loaded_model else None
    trained_models.before_every_step(engine, lambda: running.append(len(model_executor.running_groups)))
    for number in range(12):
        engine.submit(make_request(QUESTIONS[1 + number % 3], temperature=0.0, number=number))
    found = collect_events(engine, *range(12))
    assert max(running) > 4
    for number, events in found.items():
        assert text_of(events) == LESSONS[QUESTIONS[1 + number % 3]]
        assert isinstance(events[0], Started)
        assert finish_of(events).reason is FinishReason.END


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_engine_thread_crash_fails_only_unfinished_requests(engine: LocalEngine) -> None:
    class Death(BaseException):
        """What no handler of one request may swallow."""

    def die(rows: Sequence[SequenceGroup]) -> torch.Tensor:
        raise Death

    assert engine._loaded_model is not None
    model_executor: Any = engine._loaded_model.executor
    assert finish_of(answer(engine, QUESTIONS[1], temperature=0.0)).reason is FinishReason.END
    model_executor.decode_step = die
    engine.submit(make_request(QUESTIONS[0], number=2))
    assert finish_of(collect_events(engine, 2)[2]).error_message == EngineDiedError()
    assert engine.poll_events(0.1) == []


@pytest.mark.exhaustive
def test_startup_imports_compiler_modules_lazily(chat_folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from chatsite.engine.local import LocalEngine\n"
        f"engine = LocalEngine({str(chat_folder)!r}, Path('.'), thread_count=1); engine.load(lambda progress: None)\n"
        "assert not {'torch._dynamo.utils', 'torch.distributed.tensor'} & set(sys.modules)\n"
        "import torch; from transformers import masking_utils\n"
        "assert 'higher_order_op' in type(masking_utils.TransformGetItemToIndex()).__module__\n"
        "assert torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)) == 2\n"
        "engine.close()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
