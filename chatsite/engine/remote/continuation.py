"""Whether a server goes on with an answer whose beginning it is given: asked once for each model."""

from __future__ import annotations

import asyncio

from chatsite.engine.remote.bodies import Call, build_body, chat_url
from chatsite.engine.remote.failures import REFUSED_STATUSES, Advice, RequestFailedError
from chatsite.engine.remote.families import Continuation
from chatsite.engine.remote.model_state import RemoteModelState
from chatsite.engine.remote.replies import iter_parts
from chatsite.engine.remote.stream_parts import GarbageError
from chatsite.engine.types import GenerationOptions
from chatsite.errors import endpoints

QUESTION = "Count from one to ten in words, in one line."
BEGINNING = "One, two, three,"
NEXT_WORDS = ("four", "4")
TOKENS = 8


async def can_continue(state: RemoteModelState) -> bool:
    """Return whether a model at a server continues answers; the server is asked if that is not known yet.

    Raises RequestFailedError if it cannot be asked.
    """
    if state.family.continuation is not Continuation.MAYBE:
        return state.family.continuation is Continuation.ALWAYS
    continues = state.client.learned.continues
    if state.remote_name not in continues:
        found = await _try_out(state)
        if found is None:
            return False
        continues[state.remote_name] = found
    return continues[state.remote_name]


async def _try_out(state: RemoteModelState) -> bool | None:
    """Return whether a model goes on; None if its reply says nothing about that, so that it is tried again."""
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
    except GarbageError:
        return None
    except TimeoutError:
        seconds = round(client.endpoint.first_byte_seconds)
        silent = endpoints.EndpointSilentError(endpoint=client.endpoint.name, seconds=seconds)
        raise RequestFailedError(silent, Advice(is_retryable=True)) from None
    except RequestFailedError as failure:
        if failure.advice.status not in REFUSED_STATUSES:
            raise
        return False
    # A new answer begins with one, and so does a repetition, which could not be told from new text.
    return text.strip().lower().startswith(NEXT_WORDS)
