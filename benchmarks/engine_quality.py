"""How much eight bits cost: perplexity and agreement with 32 bits, over a text that is read token by token.

The text was written for this benchmark, so no model was trained on it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chatsite.engine.inference.executor import ModelExecutor
from chatsite.engine.inference.executors.blenderbot import BlenderbotExecutor
from chatsite.engine.inference.executors.llama import LlamaExecutor

TEXT = """
The bakery on the corner opens at six, long before the school across the road has any light in its windows. The
owner, a quiet woman who came from the coast many years ago, says that the first hour belongs to people who have not
been to bed yet. They buy rolls and stand by the wall, and nobody speaks much. At seven the nurses come, then the
parents with small children, and at eight there is a queue that reaches the bus stop.

She learned the trade from her uncle. He kept his recipes in a blue notebook, without any amounts, because he thought
that flour is different every week and that a recipe with numbers makes a baker lazy. It took her three years to
understand what he meant. When the air is damp the dough needs less water; when a new sack is opened it may need more.
She still weighs everything, but she writes the weights down afterwards, as a diary and not as a rule.

Last spring the oven broke on a Friday evening. It was an old oven, built of brick, and the only man who could repair
it lived two hours away and did not answer his telephone. She put a sign in the window that said there would be no
bread on Saturday, and went home. In the morning she found a note under the door. The teacher who lives upstairs had
written that the school kitchen had two ovens, that they stood empty until Monday, and that the key was in the
letter box.

So on that Saturday the bread was baked in the school. The neighbours carried the trays across the street, and the
children, who were not supposed to be there at all, drew faces on the loaves with a wooden spoon. Some of the loaves
were burnt on one side, because the ovens were hotter at the back, and some were flat. Everything was sold before
noon. People who had never talked to each other in the queue now had something to talk about, and several of them
stayed to wash the floor.

The oven was repaired on Tuesday. It turned out that a single brick had fallen in front of the vent. The man laughed
and asked for nothing but a loaf of rye. She keeps the brick on the shelf behind the counter, next to the blue
notebook, and when somebody asks about it she tells the story, which becomes a little longer every year. Once a year,
on the last Saturday in April, the bread still comes from the school, and it is still a little burnt on one side.
"""
PROMPT_TOKENS = 16


@dataclass(frozen=True)
class Quality:
    """Perplexities, the part of positions with the same likeliest token, and the mean divergence (nats)."""

    perplexity_fp32: float
    perplexity_int8: float
    agreement: float
    divergence: float


def compare_log_probabilities(exact: Tensor, rounded: Tensor, ids: list[int]) -> Quality:
    """Compare log probabilities `[positions, vocabulary]` of what follows at each position with `ids`."""
    target = torch.tensor(ids)[:, None]
    perplexity_exact, perplexity_rounded = (
        math.exp(-float(log_probabilities.gather(1, target).mean())) for log_probabilities in (exact, rounded)
    )
    same = (exact.argmax(-1) == rounded.argmax(-1)).float().mean()
    divergence = (exact.exp() * (exact - rounded)).sum(-1).mean()
    return Quality(perplexity_exact, perplexity_rounded, float(same), float(divergence))


def force_tokens(model_executor: ModelExecutor, prompt: list[int], prefix: list[int], ids: list[int]) -> Tensor:
    """Log probabilities before each of `ids`, which follow, whatever the model would have chosen."""
    row = model_executor.create_group(prompt, prefix, len(ids))
    logits = None
    while logits is None:
        logits = model_executor.prefill_chunk(row, 256)
    log_probabilities = [logits.log_softmax(-1)]
    model_executor.activate_group(row)
    for token in ids[:-1]:
        row.next_ids = [token]
        log_probabilities.append(model_executor.decode_step([row])[0].log_softmax(-1))
        model_executor.commit_step(row)
    model_executor.free_group(row)
    return torch.stack(log_probabilities)


def measure_llama(model: Any, tokenizer: Any) -> Quality:
    """The text through a Llama; its beginning is read as a prompt is, the rest step by step."""
    ids = tokenizer(" ".join(TEXT.split()))["input_ids"]
    start = [tokenizer.bos_token_id, *ids[:PROMPT_TOKENS]]
    exact, rounded = (
        force_tokens(LlamaExecutor(model, is_int8), start, [], ids[PROMPT_TOKENS:]) for is_int8 in (False, True)
    )
    return compare_log_probabilities(exact, rounded, ids[PROMPT_TOKENS:])


def measure_blenderbot(model: Any, tokenizer: Any) -> Quality:
    """Pieces of the text as answers to the pieces before them."""
    ids = tokenizer(" ".join(TEXT.split()), add_special_tokens=False)["input_ids"]
    pieces = [ids[i : i + 60] for i in range(0, len(ids) - 60, 60)]
    results: list[list[Tensor]] = []
    for is_int8 in (False, True):
        model_executor = BlenderbotExecutor(model, is_int8)
        results.append([force_tokens(model_executor, [*a, 2], [], b) for a, b in itertools.pairwise(pieces)])
    exact, rounded = (torch.cat(logs) for logs in results)
    return compare_log_probabilities(exact, rounded, [token for piece in pieces[1:] for token in piece])
