"""Ollama, in its own way to chat: https://docs.ollama.com/api/chat.

What it offers in OpenAI's form ignores `num_ctx`, and cuts what is longer than its default without a word.
"""

from chatsite.engine.remote.families.family import OPENAI_OPTIONS, Family

OLLAMA = Family(
    "ollama",
    options={
        **OPENAI_OPTIONS,
        "top_k": "top_k",
        "repetition_penalty": "repeat_penalty",
    },
    limit_field="num_predict",
    no_thinking_body={"think": False},
    asks_for_usage=False,
    is_native_ollama=True,
    cuts_silently=True,
)
