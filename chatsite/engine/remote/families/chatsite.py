"""The site's own engine, as deploy/ray serves it: it takes the options of vLLM, and goes on with any answer."""

from chatsite.engine.remote.families.family import Continuation, Family
from chatsite.engine.remote.families.vllm import VLLM

CHATSITE = Family(
    "chatsite",
    options=VLLM.options,
    no_thinking_body=VLLM.no_thinking_body,
    continue_body=VLLM.continue_body,
    continuation=Continuation.ALWAYS,
)
