"""`transformers serve`: https://huggingface.co/docs/transformers/serving.

It refuses fields that it does not know, sends the usage unasked with the last text, and no `[DONE]`.
"""

from chatsite.engine.remote.families.family import Continuation, Family

TRANSFORMERS_SERVE = Family(
    "transformers",
    continuation=Continuation.NEVER,
    asks_for_usage=False,
)
