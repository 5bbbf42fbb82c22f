"""Whether a server goes on with an answer whose beginning it is given: asked once for each model."""

from __future__ import annotations

import asyncio

from chatsite.engine.remote.bodies import Call, build_body, chat_url
from chatsite.engine.remote.failures import REFUSED_STATUSES, RequestFailedError
from chatsite.engine.remote.families import Continuation
from chatsite.engine.remote.model_state import RemoteModelState
from chatsite.engine.remote.replies import iter_parts
from chatsite.engine.remote.stream_parts import GarbageError
from chatsite.engine.types import GenerationOptions

QUESTION = "Count from one to ten in words, in one line."
BEGINNING = "One, two, three,"
NEXT_WORDS = ("four", "4")
TOKENS = 8


async def can_continue(state: RemoteModelState) -> bool:
    """Return whether a model at a server continues answers, asking it if nobody knows yet.

    Raises RequestFailedError if it cannot be asked.
    """
    if state.family.continuation is not Continuation.MAYBE:
        return state.family.continuation is Continuation.ALWAYS
    continues = state.client.learned.continues
    if state.remote_name not in continues:
        continues[state.remote_name] = await _try_out(state)
    return continues[state.remote_name]


async def _try_out(state: RemoteModelState) -> bool:
    client, family, model = state.client, state.family, state.remote_name
    call = Call(
        model,
        [{"role": "user", "content": QUESTION}],
        GenerationOptions(temperature=0.0),
        TOKENS,
        state.facts.context_tokens,
        prefix=BEGINNING,
        may_think=False,
        refused_fields=frozenset(client.learned.refused_fields),
    )
    text = ""
    body = build_body(family, call)
    try:
        async with (
            asyncio.timeout(client.endpoint.first_byte_seconds),
            client.stream(chat_url(client.endpoint, family), body, model=model) as response,
        ):
            async for part in iter_parts(response, is_native_ollama=family.is_native_ollama):
                text += part.text
    except (GarbageError, TimeoutError):
        return False
    except RequestFailedError as failure:
        if failure.advice.status not in REFUSED_STATUSES:
            raise
        return False
    # One that repeats the beginning goes on as well; a new answer begins with one.
    new_text = text.strip().removeprefix(BEGINNING).strip().lower()
    return new_text.startswith(NEXT_WORDS)
