"""A GGUF file with a tiny Llama, quantized like the embedded model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants

from tests.support import trained_models

HIDDEN_SIZE, FEED_FORWARD_SIZE, HEAD_COUNT = 64, 128, 2


def _random_weights(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, (rows, columns)).astype(np.float32)


def _tokens_and_merges() -> tuple[list[str], list[str]]:
    """Return the tokens of the test tokenizer in the order of their ids, and its merges."""
    model = json.loads(trained_models.chat_tokenizer().backend_tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return tokens, [" ".join(pair) for pair in model["merges"]]


def dequantized_embeddings() -> torch.Tensor:
    """Return the embedding matrix after quantization to four bits, shape `[vocabulary, HIDDEN_SIZE]`."""
    kind = GGMLQuantizationType.Q4_1
    packed = quants.quantize(_random_weights(len(_tokens_and_merges()[0]), HIDDEN_SIZE, 0), kind)
    return torch.tensor(quants.dequantize(packed, kind))


def write_gguf(path: Path) -> Path:
    """Write the file, in the layout that llama.cpp gives Llama models. Return its path."""
    tokens, merges = _tokens_and_merges()
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN_SIZE)
    writer.add_feed_forward_length(FEED_FORWARD_SIZE)
    writer.add_head_count(HEAD_COUNT)
    writer.add_head_count_kv(HEAD_COUNT)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(trained_models.CHATML)
    shapes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (HIDDEN_SIZE, HIDDEN_SIZE))
    shapes |= {
        "ffn_gate": (FEED_FORWARD_SIZE, HIDDEN_SIZE),
        "ffn_up": (FEED_FORWARD_SIZE, HIDDEN_SIZE),
        "ffn_down": (HIDDEN_SIZE, FEED_FORWARD_SIZE),
    }
    named = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
    for seed, (name, shape) in enumerate({"token_embd.weight": (len(tokens), HIDDEN_SIZE), **named}.items()):
        kind = GGMLQuantizationType.Q4_1
        writer.add_tensor(name, quants.quantize(_random_weights(*shape, seed), kind), raw_dtype=kind)
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(name, np.ones(HIDDEN_SIZE, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
