"""Real models side by side: they compute in turns, and the memory of one that leaves goes back."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from chatsite.engine import Request, memory
from chatsite.engine.catalogue import resolve
from chatsite.engine.local import LocalEngine, build, estimate
from chatsite.engine.shelf import Shelf
from chatsite.engine.turns import Turns
from chatsite.errors import ModelUnavailableError
from tests.engine import support
from tests.engine.support import LESSONS, ask, gather, text_of
from tests.engine.test_shelf import QUESTION, loaded, request
from tests.site import until


def test_turns_go_round(tmp_path: Path) -> None:
    turns, order, begin = Turns(), list[int](), threading.Barrier(3)

    def take(number: int) -> None:
        begin.wait(10)
        for _ in range(50):
            with turns:
                order.append(number)
                time.sleep(0.001)

    threads = [threading.Thread(target=take, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    with turns:
        begin.wait(10)
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    assert order in ([1, 2] * 50, [2, 1] * 50)


def real_shelf(tmp_path: Path, *folders: Path) -> Shelf:
    """A shelf of real small models."""
    turns = Turns()
    entries = {folder.name: resolve(str(folder)) for folder in folders}
    return Shelf(
        [entries[folders[0].name]],
        find=entries.__getitem__,
        build=lambda entry, outbox: build(entry, tmp_path, threads=1, precision="fp32", outbox=outbox, turns=turns),
        estimate=lambda entry: estimate(entry, tmp_path, "fp32"),
        budget=10**9,
    )


def test_two_real_models_answer_at_once_and_compute_in_turns(
    chat_folder: Path, blenderbot_folder: Path, tmp_path: Path
) -> None:
    shelf = real_shelf(tmp_path, chat_folder, blenderbot_folder)
    shelf.load(lambda progress: None)
    shelf.prefer(blenderbot_folder.name)
    until(lambda: len(loaded(shelf)) == 2, what="The loading")
    order: list[str] = []
    for member in shelf._members.values():
        assert isinstance(member.engine, LocalEngine)
        support.before_every_step(member.engine, lambda name=member.entry.name: order.append(name))  # type: ignore[misc]
    question = "Tell me about foxes."
    for number in range(4):
        model = (chat_folder.name, blenderbot_folder.name)[number % 2]
        made = ask(question, number=number, temperature=0.0, max_new_tokens=20, repetition_penalty=1.0)
        shelf.submit(Request(made.id, made.turns, made.options, model=model))
    found = gather(shelf, 0, 1, 2, 3)
    assert all(LESSONS[question].startswith(text_of(events)[:20]) for events in found.values())
    changes = sum(before != after for before, after in itertools.pairwise(order))
    assert changes > 8, "neither waits for the other's end"
    shelf.close()


@pytest.fixture(scope="module")
def large_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 56 million random weights."""
    folder = tmp_path_factory.mktemp("models") / "large"
    tokenizer = support.chat_tokenizer()
    shape = {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 12}
    config = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=12, max_position_embeddings=256, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.skipif(not memory.resident(), reason="NOT TESTED: this system does not say how much memory is taken.")
def test_the_memory_of_a_model_that_leaves_goes_back(large_folder: Path, chat_folder: Path, tmp_path: Path) -> None:
    shelf = real_shelf(tmp_path, chat_folder, large_folder)
    shelf.load(lambda progress: None)
    memory.trim()
    before = memory.resident()
    shelf.prefer(large_folder.name)
    until(lambda: large_folder.name in loaded(shelf), what="The loading")
    shelf.submit(request(1, large_folder.name, QUESTION, max_new_tokens=5))
    gather(shelf, 1)
    during = memory.resident()
    assert during - before > 150_000_000
    assert shelf.residence().memory == pytest.approx(during - before, rel=0.35)
    assert shelf.release(large_folder.name)
    # What the allocator cannot give back, because something small lies in between, is reused by the next model.
    assert memory.resident() - before < 0.3 * (during - before)
    shelf.close()


def test_the_estimate_counts_the_weights(large_folder: Path, tmp_path: Path) -> None:
    entry = resolve(str(large_folder))
    weights = sum(parameter.numel() for parameter in LlamaForCausalLM.from_pretrained(large_folder).parameters())
    assert estimate(entry, tmp_path, "fp32") == 4 * weights
    assert estimate(resolve("scripted"), tmp_path, "auto") == 0
    with pytest.raises(ModelUnavailableError, match="GPT-2 is not on this machine"):
        estimate(resolve("gpt2"), tmp_path, "auto")
