"""OpenRouter: https://openrouter.ai/docs/api-reference/chat-completion. It always sends the usage, unasked."""

from chatsite.engine.remote.families.family import OPENAI_OPTIONS, Family

OPENROUTER = Family(
    "openrouter",
    options={**OPENAI_OPTIONS, "top_k": "top_k", "repetition_penalty": "repetition_penalty"},
    no_thinking_body={"reasoning": {"enabled": False}},
    asks_for_usage=False,
)
