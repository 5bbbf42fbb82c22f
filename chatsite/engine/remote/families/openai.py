"""OpenAI and the clouds that are as strict: https://platform.openai.com/docs/api-reference/chat.

They refuse fields that they do not know, and models that reason refuse `max_tokens`, which is learned from the refusal.
"""

from chatsite.engine.remote.families.family import Continuation, Family

OPENAI = Family("openai", continuation=Continuation.NEVER)
