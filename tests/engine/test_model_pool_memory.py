"""Real models side by side: they compute in turns, and the memory of one that leaves goes back."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from chatsite.engine import memory
from chatsite.engine.catalog.catalog import resolve_entry
from chatsite.engine.fair_lock import FairLock
from chatsite.engine.local import LocalEngine, create_engine, estimate_memory
from chatsite.engine.model_pool import ModelPool
from chatsite.engine.types import Request
from chatsite.errors import ModelLoadError
from tests.engine.test_model_pool import QUESTION, loaded, request
from tests.support import trained_models
from tests.support.served_site import wait_until
from tests.support.trained_models import LESSONS, collect_events, make_request, text_of


def test_fair_lock_alternates_between_threads(tmp_path: Path) -> None:
    turns, order, begin = FairLock(), list[int](), threading.Barrier(3)

    def take(number: int) -> None:
        begin.wait(60)
        for _ in range(50):
            with turns:
                order.append(number)
                time.sleep(0.001)

    threads = [threading.Thread(target=take, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    with turns:
        begin.wait(60)
        wait_until(lambda: len(turns._waiters) == 2, what="The asking of both")
    for thread in threads:
        thread.join()
    assert order in ([1, 2] * 50, [2, 1] * 50)


def real_pool(tmp_path: Path, *folders: Path) -> ModelPool:
    """A shelf of real small models."""
    turns = FairLock()
    entries = {folder.name: resolve_entry(str(folder)) for folder in folders}
    return ModelPool(
        [entries[folders[0].name]],
        find_entry=entries.__getitem__,
        create_engine=lambda entry, outbox: create_engine(
            entry, tmp_path, thread_count=1, precision="fp32", outbox=outbox, step_lock=turns
        ),
        estimate_bytes=lambda entry: estimate_memory(entry, tmp_path, "fp32"),
        budget_bytes=10**9,
    )


def test_two_models_answer_concurrently(chat_folder: Path, blenderbot_folder: Path, tmp_path: Path) -> None:
    pool = real_pool(tmp_path, chat_folder, blenderbot_folder)
    pool.load(lambda progress: None)
    pool.set_default(blenderbot_folder.name)
    wait_until(lambda: len(loaded(pool)) == 2, what="The loading")
    order: list[str] = []
    for member in pool._pool_entries.values():
        assert isinstance(member.engine, LocalEngine)
        trained_models.before_every_step(member.engine, lambda name=member.entry.name: order.append(name))  # type: ignore[misc]
    question = "Tell me about foxes."
    for number in range(4):
        model = (chat_folder.name, blenderbot_folder.name)[number % 2]
        made = make_request(question, number=number, temperature=0.0, max_new_tokens=20, repetition_penalty=1.0)
        pool.submit(Request(made.id, made.turns, made.options, model=model))
    found = collect_events(pool, 0, 1, 2, 3)
    assert all(LESSONS[question].startswith(text_of(events)[:20]) for events in found.values())
    changes = sum(before != after for before, after in itertools.pairwise(order))
    assert changes > 8, "neither waits for the other's end"
    pool.close()


@pytest.fixture(scope="module")
def large_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 56 million random weights."""
    folder = tmp_path_factory.mktemp("models") / "large"
    tokenizer = trained_models.chat_tokenizer()
    shape: dict[str, Any] = {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 8,
        "num_attention_heads": 12,
    }
    config = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=12, max_position_embeddings=256, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.skipif(
    not memory.resident_bytes(), reason="NOT TESTED: this system does not say how much memory is taken."
)
def test_evicted_model_frees_memory(large_folder: Path, chat_folder: Path, tmp_path: Path) -> None:
    pool = real_pool(tmp_path, chat_folder, large_folder)
    pool.load(lambda progress: None)
    memory.release_free_memory()
    before = memory.resident_bytes()
    pool.set_default(large_folder.name)
    wait_until(lambda: large_folder.name in loaded(pool), what="The loading")
    pool.submit(request(1, large_folder.name, QUESTION, max_new_tokens=5))
    collect_events(pool, 1)
    during = memory.resident_bytes()
    assert during - before > 150_000_000
    assert pool.get_status().memory_bytes == pytest.approx(during - before, rel=0.35)
    assert pool.unload_model(large_folder.name)
    # What the allocator cannot give back, because something small lies in between, is reused by the next model.
    assert memory.resident_bytes() - before < 0.3 * (during - before)
    pool.close()


def test_memory_estimate_counts_weights(large_folder: Path, tmp_path: Path) -> None:
    entry = resolve_entry(str(large_folder))
    weights = sum(parameter.numel() for parameter in LlamaForCausalLM.from_pretrained(large_folder).parameters())
    assert estimate_memory(entry, tmp_path, "fp32") == 4 * weights
    assert estimate_memory(resolve_entry("scripted"), tmp_path, "auto") == 0
    with pytest.raises(ModelLoadError, match="GPT-2 is not downloaded"):
        estimate_memory(resolve_entry("gpt2"), tmp_path, "auto")
