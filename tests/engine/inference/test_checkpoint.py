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

from chatsite.engine.catalog.catalog import resolve_entry
from chatsite.engine.downloads.weights import Weights, ensure_installed
from chatsite.engine.inference.loaded_model import load_model
from chatsite.engine.inference.loading import checkpoint
from chatsite.engine.local import LocalEngine
from chatsite.errors import ModelLoadError
from tests.support import trained_models


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
    with pytest.raises(ModelLoadError) as caught:
        ensure_installed(resolve_entry(str(folder)), folder.parent / "models", lambda progress: None)
    with pytest.raises(ModelLoadError):
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
def test_config_key_that_may_run_code_is_rejected(model: Path, name: str, key: str, value: object) -> None:
    (model / "evil.txt").write_text("raise SystemExit", "utf-8")
    edit(model / name, **{key: value})
    assert "could run code" in refusal(model)


@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "evil.py", "sub/weights.pt", "model.gguf", "tf_model.h5"],
)
def test_executable_or_pickled_file_is_rejected(model: Path, name: str) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"\x80\x04.")
    assert "other formats are not read" in refusal(model)


def test_adapter_is_rejected(model: Path) -> None:
    edit(model / "adapter_config.json", base_model_name_or_path="somebody/evil")
    assert "adapter_config.json" in refusal(model)


@pytest.mark.parametrize("model_type", ["evil", "bert", None, ["llama"], {"llama": 1}])
def test_unsupported_model_type_is_rejected(model: Path, model_type: object) -> None:
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
    edit(model / checkpoint.SHARD_INDEX, weight_map={"a": "model.safetensors", "b": "model-2.safetensors"})


def lead_out_of_the_folder(model: Path) -> None:
    shutil.copy(model / "model.safetensors", model.parent / "other.safetensors")
    edit(model / checkpoint.SHARD_INDEX, weight_map={"a": "model.safetensors", "b": "../other.safetensors"})


def garble_the_shards(model: Path) -> None:
    edit(model / checkpoint.SHARD_INDEX, weight_map=[{"a": {}}])


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
def test_incomplete_folder_is_rejected(model: Path, harm: Callable[[Path], None]) -> None:
    harm(model)
    assert "cannot read" in refusal(model) or "has no configuration" in refusal(model)


def test_damaged_weights_are_rejected_on_load(model: Path) -> None:
    cut_weights(model)
    with pytest.raises(ModelLoadError, match="cannot load "):
        checkpoint.load_checkpoint(model, torch.float32)


def test_nan_weights_are_rejected_on_load(model: Path, tmp_path: Path) -> None:
    loaded: Any = checkpoint.load_checkpoint(model, torch.float32).model
    torch.nn.init.constant_(loaded.lm_head.weight, float("nan"))
    loaded.save_pretrained(model)
    with pytest.raises(ModelLoadError, match="computed no number"):
        LocalEngine(str(model), tmp_path).load(lambda progress: None)


def test_unknown_config_keys_are_dropped(model: Path) -> None:
    edit(model / "config.json", something_new="evil", hidden_act="silu")
    config: Any = checkpoint.load_checkpoint(model, torch.float32).model.config
    assert not hasattr(config, "something_new")
    assert config.hidden_size == 64


def test_harmless_extra_files_are_accepted(model: Path) -> None:
    (model / ".git" / "hooks").mkdir(parents=True)
    (model / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh", "utf-8")
    for name in ("README.md", "LICENSE", ".gitattributes", "spiece.model"):
        (model / name).write_text("text", "utf-8")
    edit(model / "tokenizer_config.json", bos_token={"__type": "AddedToken", "content": "<|im_start|>"})
    assert checkpoint.detect_family(model) == "chat"
    assert ensure_installed(resolve_entry(str(model)), model, lambda progress: None).folder == model


@pytest.mark.parametrize(("config", "kind"), [(Qwen2Config, Qwen2ForCausalLM), (Qwen3Config, Qwen3ForCausalLM)])
def test_other_supported_model_types_answer(tmp_path: Path, config: Any, kind: Any) -> None:
    tokenizer = trained_models.chat_tokenizer()
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "head_dim": 16}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 128}
    torch.manual_seed(1)
    kind(config(vocab_size=len(tokenizer), eos_token_id=2, **sizes)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    engine = LocalEngine(str(tmp_path / "model"), tmp_path, thread_count=1)
    engine.load(lambda progress: None)
    engine.submit(trained_models.make_request("Hello world", max_new_tokens=5))
    assert trained_models.tokens_of(trained_models.collect_events(engine, 1)[1]) in range(6)
    engine.close()


def test_family_is_detected_and_can_be_overridden(chat_folder: Path, tmp_path: Path) -> None:
    script = trained_models.make_gpt2_model(tmp_path / "script")
    assert checkpoint.detect_family(script) == "continuation"
    edit(script / "config.json", task_specific_params={"conversational": {"max_length": 1000}})
    assert checkpoint.detect_family(script) == "dialogue"
    assert checkpoint.detect_family(script, family="continuation") == "continuation"
    edit(script / "tokenizer_config.json", chat_template=trained_models.CHATML)
    assert checkpoint.detect_family(script) == "chat"
    assert checkpoint.detect_family(script, family="dialogue") == "dialogue"
    assert checkpoint.detect_family(chat_folder) == "chat"
    with pytest.raises(ModelLoadError, match="not part of the family 'blenderbot'"):
        checkpoint.detect_family(chat_folder, family="blenderbot")


def test_chat_model_without_template_is_rejected(tmp_path: Path) -> None:
    script = trained_models.make_gpt2_model(tmp_path / "script")
    with pytest.raises(ModelLoadError, match="has no chat template"):
        load_model("script", Weights(script, "1"), "fp32", family="chat")


def other_weights(model: Path, tmp_path: Path) -> None:
    shutil.copy(trained_models.make_gpt2_model(tmp_path / "other") / "model.safetensors", model / "model.safetensors")


def other_words(model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    trained_models.gpt2_tokenizer(tmp_path / "other").save_pretrained(model)
    edit(model / "tokenizer_config.json", chat_template=trained_models.CHATML)


def more_words(model: Path, _: Path) -> None:
    tokenizer = trained_models.chat_tokenizer()
    tokenizer.add_tokens([f"word{number}" for number in range(100)])
    tokenizer.save_pretrained(model)


def fewer_words(model: Path, _: Path) -> None:
    loaded: Any = checkpoint.load_checkpoint(model, torch.float32).model
    loaded.resize_token_embeddings(1000, mean_resizing=False)
    loaded.save_pretrained(model)


def no_end(model: Path, _: Path) -> None:
    for name in ("config.json", "generation_config.json"):
        edit(model / name, eos_token_id=99_999)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (other_weights, "do not match the configuration"),
        (other_words, "an ordinary word"),
        (more_words, "it has 520 words, and the model 420"),
        (fewer_words, "it has 420 words, and the model 1000"),
        (no_end, "wrong has no token that ends an answer"),
    ],
)
def test_mismatched_model_files_are_rejected_on_load(
    model: Path, tmp_path: Path, harm: Callable[[Path, Path], None], sentence: str
) -> None:
    harm(model, tmp_path)
    with pytest.raises(ModelLoadError, match=sentence):
        load_model("wrong", Weights(model, "1"), "fp32")


@pytest.mark.parametrize(
    ("make", "family"),
    [
        (trained_models.make_gpt2_model, "continuation"),
        (partial(trained_models.make_gpt2_model, family="dialogue"), "dialogue"),
        pytest.param(trained_models.make_t5_model, "text-to-text", marks=pytest.mark.exhaustive),
        pytest.param(trained_models.make_blenderbot_small_model, "blenderbot-small", marks=pytest.mark.exhaustive),
    ],
)
def test_every_family_answers_as_trained(tmp_path: Path, make: Callable[[Path], Path], family: str) -> None:
    folder = make(tmp_path / "tiny")
    engine = LocalEngine(str(folder), tmp_path, thread_count=1)
    engine.load(lambda progress: None)
    learnt: dict[str, Any] = {"min_new_tokens": 0, "no_repeat_ngram": 0, "encoder_no_repeat_ngram": 0}
    requests = [
        trained_models.make_request(question, number=number, temperature=0.0, **learnt)
        for number, question in enumerate(trained_models.LESSONS)
    ]
    for request in requests:
        engine.submit(request)
    found = trained_models.collect_events(engine, *range(4))
    for events, lesson in zip(found.values(), trained_models.LESSONS.values(), strict=True):
        assert trained_models.report_of(events).family == family
        assert trained_models.text_of(events) == (lesson.lower() if family == "blenderbot-small" else lesson)
    answer = trained_models.text_of(found[2])
    engine.submit(trained_models.make_request(requests[2].turns[0].text, prefix=answer[:12], temperature=0.0, **learnt))
    assert answer[:12] + trained_models.text_of(trained_models.collect_events(engine, 1)[1]) == answer
    checkpoint_model = engine._loaded_model
    assert checkpoint_model is not None
    assert checkpoint_model.is_batched
    assert checkpoint_model.tokens_per_second > 0
    engine.close()
