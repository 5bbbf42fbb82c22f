"""LM Studio: https://lmstudio.ai/docs/developer/openai-compat. Whether it continues depends on the model's template."""

from chatsite.engine.remote.families.family import OPENAI_OPTIONS, Family

LM_STUDIO = Family(
    "lm-studio",
    options={**OPENAI_OPTIONS, "top_k": "top_k", "repetition_penalty": "repeat_penalty"},
    cuts_silently=True,
)
