"""A GGUF file with a tiny Llama in it, quantised as the embedded model is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants

from tests.engine import support

WIDTH, HIDDEN, HEADS = 64, 128, 2


def _weights(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, (rows, columns)).astype(np.float32)


def _vocabulary() -> tuple[list[str], list[str]]:
    """The tokens in the order of their ids, and the merges, of the tests' own tokenizer."""
    model = json.loads(support.chat_tokenizer().backend_tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return tokens, [" ".join(pair) for pair in model["merges"]]


def embeddings() -> torch.Tensor:
    """The embedding matrix after its way through four bits, shape `[vocabulary, WIDTH]`."""
    kind = GGMLQuantizationType.Q4_1
    packed = quants.quantize(_weights(len(_vocabulary()[0]), WIDTH, 0), kind)
    return torch.tensor(quants.dequantize(packed, kind))


def write(path: Path) -> Path:
    """Write the file. Its layout is the one that llama.cpp gives Llama models."""
    tokens, merges = _vocabulary()
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
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
    writer.add_chat_template(support.CHATML)
    shapes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (WIDTH, WIDTH))
    shapes |= {"ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN)}
    named = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
    for seed, (name, shape) in enumerate({"token_embd.weight": (len(tokens), WIDTH), **named}.items()):
        kind = GGMLQuantizationType.Q4_1
        writer.add_tensor(name, quants.quantize(_weights(*shape, seed), kind), raw_dtype=kind)
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(name, np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
