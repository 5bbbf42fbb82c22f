"""What is refused in a model's folder, before anything of it is loaded; and what is loaded of the rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from chatsite.engine.catalogue import resolve
from chatsite.engine.decoding import checkpoint
from chatsite.engine.decoding.speaker import open_speaker
from chatsite.engine.local import LocalEngine
from chatsite.engine.weights import Weights, ensure
from chatsite.errors import ModelUnavailableError
from tests.engine import support


@pytest.fixture
def model(chat_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny chat model to do harm to."""
    return Path(shutil.copytree(chat_folder, tmp_path / "model"))


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    values = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**values, **changes}), "utf-8")


def refusal(folder: Path) -> str:
    """Why a folder is not read; nothing may be imported from it or loaded on the way."""
    with pytest.raises(ModelUnavailableError) as caught:
        ensure(resolve(str(folder)), folder.parent / "models", lambda progress: None)
    with pytest.raises(ModelUnavailableError):
        LocalEngine(str(folder), folder.parent / "models").load(lambda progress: None)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("config.json", "auto_map", {"AutoModelForCausalLM": "evil.Model"}),
        ("config.json", "_attn_implementation_internal", "somebody/evil-kernel"),
        ("config.json", "_attn_implementation", "somebody/evil-kernel"),
        ("config.json", "attn_implementation", "somebody/evil-kernel"),
        ("config.json", "_experts_implementation", "somebody/evil-kernel"),
        ("config.json", "text_config", {"nested": [{"auto_map": {"AutoConfig": "evil.Config"}}]}),
        ("config.json", "quantization_config", {"quant_method": "evil"}),
        ("config.json", "custom_pipelines", {"chat": {"impl": "evil.Pipeline"}}),
        ("config.json", "trust_remote_code", True),
        ("tokenizer_config.json", "auto_map", {"AutoTokenizer": ["evil.Tokenizer", None]}),
        ("generation_config.json", "custom_generate", "somebody/evil"),
        ("processor_config.json", "auto_map", {"AutoProcessor": "evil.Processor"}),
    ],
)
def test_a_key_that_may_run_code_is_refused(model: Path, name: str, key: str, value: object) -> None:
    (model / "evil.txt").write_text("raise SystemExit", "utf-8")
    edit(model / name, **{key: value})
    assert "may run code" in refusal(model)


@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "evil.py", "sub/weights.pt", "model.gguf", "tf_model.h5"],
)
def test_a_file_that_is_no_plain_data_is_refused(model: Path, name: str) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"\x80\x04.")
    assert "only these are read" in refusal(model)


def test_an_adapter_is_refused_as_it_names_another_repository(model: Path) -> None:
    edit(model / "adapter_config.json", base_model_name_or_path="somebody/evil")
    assert "adapter_config.json" in refusal(model)


@pytest.mark.parametrize("model_type", ["evil", "bert", None, ["llama"], {"llama": 1}])
def test_a_type_that_is_not_on_the_list_is_refused(model: Path, model_type: object) -> None:
    edit(model / "config.json", model_type=model_type)
    assert "not supported" in refusal(model)


def break_json(model: Path) -> None:
    (model / "config.json").write_text("{", "utf-8")


def nest_json(model: Path) -> None:
    (model / "config.json").write_text("[" * 100_000, "utf-8")


def lose_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def lose_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()


def lose_a_shard(model: Path) -> None:
    edit(model / checkpoint.SHARDS, weight_map={"a": "model.safetensors", "b": "model-2.safetensors"})


def lead_out_of_the_folder(model: Path) -> None:
    shutil.copy(model / "model.safetensors", model.parent / "other.safetensors")
    edit(model / checkpoint.SHARDS, weight_map={"a": "model.safetensors", "b": "../other.safetensors"})


def garble_the_shards(model: Path) -> None:
    edit(model / checkpoint.SHARDS, weight_map=[{"a": {}}])


def cut_weights(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    "harm",
    [
        break_json,
        nest_json,
        lose_weights,
        lose_tokenizer,
        lose_a_shard,
        lead_out_of_the_folder,
        garble_the_shards,
    ],
)
def test_an_incomplete_folder_is_refused(model: Path, harm: Callable[[Path], None]) -> None:
    harm(model)
    assert "cannot be read" in refusal(model) or "lacks" in refusal(model)


def test_damaged_weights_are_refused_when_they_are_loaded(model: Path) -> None:
    cut_weights(model)
    with pytest.raises(ModelUnavailableError, match="model cannot be loaded"):
        checkpoint.load(model, torch.float32)


def test_weights_without_numbers_are_refused_before_a_visitor_comes(model: Path, tmp_path: Path) -> None:
    loaded: Any = checkpoint.load(model, torch.float32).model
    torch.nn.init.constant_(loaded.lm_head.weight, float("nan"))
    loaded.save_pretrained(model)
    with pytest.raises(ModelUnavailableError, match="computed no number"):
        LocalEngine(str(model), tmp_path).load(lambda progress: None)


def test_unknown_keys_do_not_reach_the_model(model: Path) -> None:
    edit(model / "config.json", something_new="evil", hidden_act="silu")
    config: Any = checkpoint.load(model, torch.float32).model.config
    assert not hasattr(config, "something_new")
    assert config.hidden_size == 64


def test_a_harmless_folder_with_papers_and_a_git_folder_is_read(model: Path) -> None:
    (model / ".git" / "hooks").mkdir(parents=True)
    (model / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh", "utf-8")
    for name in ("README.md", "LICENSE", ".gitattributes", "spiece.model"):
        (model / name).write_text("text", "utf-8")
    edit(model / "tokenizer_config.json", bos_token={"__type": "AddedToken", "content": "<|im_start|>"})
    assert checkpoint.check(model) == "chat"
    assert ensure(resolve(str(model)), model, lambda progress: None).folder == model


@pytest.mark.parametrize(("config", "kind"), [(Qwen2Config, Qwen2ForCausalLM), (Qwen3Config, Qwen3ForCausalLM)])
def test_other_types_on_the_list_answer_too(tmp_path: Path, config: Any, kind: Any) -> None:
    tokenizer = support.chat_tokenizer()
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "head_dim": 16}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 128}
    torch.manual_seed(1)
    kind(config(vocab_size=len(tokenizer), eos_token_id=2, **sizes)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    engine = LocalEngine(str(tmp_path / "model"), tmp_path, threads=1)
    engine.load(lambda progress: None)
    engine.submit(support.ask("Hello world", max_new_tokens=5))
    assert support.tokens_of(support.gather(engine, 1)[1]) in range(6)
    engine.close()


def test_the_files_tell_the_family_and_a_wish_goes_before_them(chat_folder: Path, tmp_path: Path) -> None:
    script = support.make_gpt2_model(tmp_path / "script")
    assert checkpoint.check(script) == "continuation"
    edit(script / "config.json", task_specific_params={"conversational": {"max_length": 1000}})
    assert checkpoint.check(script) == "dialogue"
    assert checkpoint.check(script, family="continuation") == "continuation"
    edit(script / "tokenizer_config.json", chat_template=support.CHATML)
    assert checkpoint.check(script) == "chat"
    assert checkpoint.check(script, family="dialogue") == "dialogue"
    assert checkpoint.check(chat_folder) == "chat"
    with pytest.raises(ModelUnavailableError, match="no model of the family 'blenderbot'"):
        checkpoint.check(chat_folder, family="blenderbot")


def test_a_chat_model_without_a_template_is_refused(tmp_path: Path) -> None:
    script = support.make_gpt2_model(tmp_path / "script")
    with pytest.raises(ModelUnavailableError, match="has no template"):
        open_speaker("script", Weights(script, "1"), "fp32", "chat")


def other_weights(model: Path, tmp_path: Path) -> None:
    shutil.copy(support.make_gpt2_model(tmp_path / "other") / "model.safetensors", model / "model.safetensors")


def other_words(model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    support.gpt2_tokenizer(tmp_path / "other").save_pretrained(model)
    edit(model / "tokenizer_config.json", chat_template=support.CHATML)


def more_words(model: Path, _: Path) -> None:
    tokenizer = support.chat_tokenizer()
    tokenizer.add_tokens([f"word{number}" for number in range(100)])
    tokenizer.save_pretrained(model)


def fewer_words(model: Path, _: Path) -> None:
    loaded: Any = checkpoint.load(model, torch.float32).model
    loaded.resize_token_embeddings(1000, mean_resizing=False)
    loaded.save_pretrained(model)


def no_end(model: Path, _: Path) -> None:
    for name in ("config.json", "generation_config.json"):
        edit(model / name, eos_token_id=99_999)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (other_weights, "not those of its configuration"),
        (other_words, "an ordinary word"),
        (more_words, "it has 520 words, and the model 420"),
        (fewer_words, "it has 420 words, and the model 1000"),
        (no_end, "no token of wrong ends its answers"),
    ],
)
def test_files_of_two_models_are_refused_before_a_visitor_comes(
    model: Path, tmp_path: Path, harm: Callable[[Path, Path], None], sentence: str
) -> None:
    harm(model, tmp_path)
    with pytest.raises(ModelUnavailableError, match=sentence):
        open_speaker("wrong", Weights(model, "1"), "fp32")


@pytest.mark.parametrize(
    ("make", "family"),
    [
        (support.make_gpt2_model, "continuation"),
        (partial(support.make_gpt2_model, family="dialogue"), "dialogue"),
        (support.make_t5_model, "text-to-text"),
        (support.make_blenderbot_small_model, "blenderbot-small"),
    ],
)
def test_every_family_says_what_it_learnt(tmp_path: Path, make: Callable[[Path], Path], family: str) -> None:
    folder = make(tmp_path / "tiny")
    engine = LocalEngine(str(folder), tmp_path, threads=1)
    engine.load(lambda progress: None)
    learnt: dict[str, Any] = {"min_new_tokens": 0, "no_repeat_ngram": 0, "encoder_no_repeat_ngram": 0}
    requests = [
        support.ask(question, number=number, temperature=0.0, **learnt)
        for number, question in enumerate(support.LESSONS)
    ]
    for request in requests:
        engine.submit(request)
    found = support.gather(engine, *range(4))
    for events, lesson in zip(found.values(), support.LESSONS.values(), strict=True):
        assert support.receipt_of(events).family == family
        assert support.text_of(events) == (lesson.lower() if family == "blenderbot-small" else lesson)
    answer = support.text_of(found[2])
    engine.submit(support.ask(requests[2].turns[0].text, prefix=answer[:12], temperature=0.0, **learnt))
    assert answer[:12] + support.text_of(support.gather(engine, 1)[1]) == answer
    speaker = engine._speaker
    assert speaker is not None
    assert speaker.batched
    assert speaker.speed > 0
    engine.close()
