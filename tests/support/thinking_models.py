"""A small real model that thinks before it answers, as tests create and train it."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from chatsite.engine.prompting.chat import ChatFormat
from tests.support.trained_models import (
    LESSONS,
    TRAINING_STEPS,
    chat_tokenizer,
    make_request,
    train_until_learned,
)
from tests.support.training import trained_once

THOUGHT = "I read the words. I know an answer, a small animal or a large city."


@trained_once
def make_thinking_model(folder: Path, opening: str) -> Path:
    """Make a folder with a Llama of two layers that thinks before it answers the LESSONS, as `THOUGHT` says.

    `opening` is what its template writes of the reasoning: "" or the opening tag.
    """
    tokenizer = chat_tokenizer()
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template += (
        "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}"
        f"{{% else %}}{{{{ {opening!r} }}}}{{% endif %}}"
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(1)
    model = LlamaForCausalLM(config)
    prompt_format = ChatFormat(tokenizer, "tiny", "1", 512)
    examples = []
    for question, answer in LESSONS.items():
        prompt = list(prompt_format.build_prompt(make_request(question), {}).ids)
        text = f"<think>\n{THOUGHT}\n</think>\n\n".removeprefix(opening)
        reasoning = tokenizer(text, add_special_tokens=False)["input_ids"]
        written = [*reasoning, *prompt_format.encode_prefix(answer), 2]
        examples.append({"input_ids": prompt + written, "labels": [-100] * len(prompt) + written})
    train_until_learned(model, examples, 4 * TRAINING_STEPS)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
