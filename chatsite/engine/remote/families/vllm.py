"""The server of vLLM: https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html."""

from chatsite.engine.remote.families.family import OPENAI_OPTIONS, Counting, Family

VLLM = Family(
    "vllm",
    options={
        **OPENAI_OPTIONS,
        "top_k": "top_k",
        "repetition_penalty": "repetition_penalty",
        "min_new_tokens": "min_tokens",
    },
    no_thinking_body={"chat_template_kwargs": {"enable_thinking": False}},
    # It refuses one without the other, and begins a new answer without both.
    continue_body={"continue_final_message": True, "add_generation_prompt": False},
    counting=Counting.VLLM,
)
