"""The server of llama.cpp: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md."""

from chatsite.engine.remote.families.family import OPENAI_OPTIONS, Counting, Family

LLAMA_CPP = Family(
    "llama-cpp",
    options={**OPENAI_OPTIONS, "top_k": "top_k", "repetition_penalty": "repeat_penalty"},
    # The next question of a conversation begins as this one did.
    body={"cache_prompt": True},
    no_thinking_body={"chat_template_kwargs": {"enable_thinking": False}},
    counting=Counting.LLAMA_CPP,
)
