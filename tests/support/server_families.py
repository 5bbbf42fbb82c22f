"""Servers of models with their peculiarities, as recorded from the real ones: one class each.

They write the words of the question back, one token a word, in their own form, and count four tokens for each message
and one for each word. What the real ones refuse, cut or ignore, these do too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from tests.support.model_server import HttpRequest, delta, event, head, json_reply, openai_stream, usage, words_of

FRAME_TOKENS = 4


def prompt_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """The tokens of a prompt."""
    return sum(FRAME_TOKENS + len(message["content"].split()) for message in messages)


class ServerFamily:
    """A server that nobody knows: it does what all do, and lists one model without a word about it."""

    name = "unknown"
    model = "m"
    refused_fields: ClassVar[frozenset[str]] = frozenset()

    def reply(self, request: HttpRequest) -> Iterable[object]:
        """The bytes of the reply to a request."""
        path = request.path
        if request.method == "GET":
            found = self.find_facts(path)
            return self.not_found() if found is None else json_reply(found, 200, **self.headers())
        if path == "/v1/chat/completions":
            refused = sorted(self.refused_fields & set(request.body))
            return self.refuse(refused[0]) if refused else self.answer(request.body)
        return self.post(path, request.body)

    def headers(self) -> dict[str, str]:
        """The headers of all replies."""
        return {}

    def find_facts(self, path: str) -> object:
        """What is to be read at a path, or None."""
        return {"object": "list", "data": [self.describe_model()]} if path == "/v1/models" else None

    def describe_model(self) -> dict[str, Any]:
        """The model in the list."""
        return {"id": self.model, "object": "model", "created": 1}

    def not_found(self) -> Iterable[object]:
        """The reply to a path that does not exist."""
        return json_reply({"error": {"message": "Not found", "type": "invalid_request_error"}}, 404)

    def refuse(self, name: str) -> Iterable[object]:
        """The reply to a field that the server does not take."""
        message = f"Unsupported parameter: '{name}' is not supported with this model."
        return json_reply({"error": {"message": message, "type": "invalid_request_error", "param": name}}, 400)

    def post(self, path: str, body: Mapping[str, Any]) -> Iterable[object]:
        """The reply to what is posted elsewhere."""
        return self.not_found()

    def words(self, body: Mapping[str, Any]) -> list[str]:
        """The tokens of the answer: those of the question; most go on after a beginning."""
        *others, last = body["messages"]
        if last["role"] == "user":
            return words_of(last["content"])
        return words_of(others[-1]["content"].removeprefix(last["content"]))

    def counted(self, body: Mapping[str, Any]) -> dict[str, int]:
        """The usage of the answer."""
        return usage(prompt_tokens(body["messages"]), len(self.words(body)) + 1)

    def answer(self, body: Mapping[str, Any]) -> Iterator[object]:
        """The stream of an answer; usage comes when it is asked for."""
        yield head()
        yield from openai_stream(
            self.words(body), self.counted(body) if body.get("stream_options", {}).get("include_usage") else None
        )


class LlamaCppServer(ServerFamily):
    """llama.cpp: null in the first chunk, pings, `timings` in the usage; counts before it answers."""

    name = "llama-cpp"

    def headers(self) -> dict[str, str]:
        return {"Server": "llama.cpp"}

    def find_facts(self, path: str) -> object:
        if path == "/props":
            return {"default_generation_settings": {"n_ctx": 512}, "total_slots": 2}
        return super().find_facts(path)

    def describe_model(self) -> dict[str, Any]:
        return {**super().describe_model(), "owned_by": "llamacpp", "meta": {"n_ctx_train": 8192, "n_params": 1000}}

    def post(self, path: str, body: Mapping[str, Any]) -> Iterable[object]:
        if path == "/tokenize":
            pieces = words_of(body["content"])
            return json_reply({"tokens": [{"id": i, "piece": piece} for i, piece in enumerate(pieces)]})
        if path == "/v1/chat/completions/input_tokens":
            return json_reply({"input_tokens": prompt_tokens(body["messages"])})
        return super().post(path, body)

    def answer(self, body: Mapping[str, Any]) -> Iterator[object]:
        yield head()
        yield event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}]})
        yield b":\n\n"
        for word in self.words(body):
            yield event(delta(word))
        yield event(delta(finish="stop"))
        yield event({"choices": [], "usage": self.counted(body), "timings": {"predicted_n": 1}})
        yield b"data: [DONE]\n\n"


class OldLlamaCppServer(LlamaCppServer):
    """llama.cpp before autumn 2025: no counting, and errors in a line of their own instead of data."""

    def post(self, path: str, body: Mapping[str, Any]) -> Iterable[object]:
        return self.not_found()

    def answer(self, body: Mapping[str, Any]) -> Iterator[object]:
        yield head()
        for word in self.words(body)[:2]:
            yield event(delta(word))
        yield b'error: {"code":500,"message":"slot failed","type":"server_error"}\n\n'


class VllmServer(ServerFamily):
    """vLLM: the last text in the chunk of the end, and a beginning only with both of its fields."""

    name = "vllm"

    def describe_model(self) -> dict[str, Any]:
        return {**super().describe_model(), "owned_by": "vllm", "max_model_len": 512}

    def post(self, path: str, body: Mapping[str, Any]) -> Iterable[object]:
        if path != "/tokenize":
            return super().post(path, body)
        if "messages" in body:
            return json_reply({"count": prompt_tokens(body["messages"]), "max_model_len": 512, "tokens": []})
        pieces = words_of(body["prompt"])
        names = [piece.replace(" ", "\u0120") for piece in pieces]
        return json_reply({"count": len(pieces), "tokens": list(range(len(pieces))), "token_strs": names})

    def words(self, body: Mapping[str, Any]) -> list[str]:
        if body.get("continue_final_message") and body.get("add_generation_prompt") is False:
            return super().words(body)
        question = [each for each in body["messages"] if each["role"] == "user"][-1]
        return words_of(question["content"])

    def answer(self, body: Mapping[str, Any]) -> Iterator[object]:
        *words, last = self.words(body)
        yield head()
        yield event({**delta("", role="assistant"), "prompt_token_ids": None, "prompt_text": None})
        for word in words:
            yield event(delta(word))
        chunk = delta(last, finish="stop")
        chunk["choices"][0]["stop_reason"] = None
        yield event(chunk)
        yield event({**delta(), "choices": [], "usage": self.counted(body)})
        yield b"data: [DONE]\n\n"


class OllamaServer(ServerFamily):
    """Ollama: its own API obeys `num_ctx`; what is longer is cut without a word, and the role is in every chunk."""

    name = "ollama"
    trained_tokens = 131_072
    parameters = ""
    is_blind_to_num_ctx = False

    def find_facts(self, path: str) -> object:
        facts: dict[str, object] = {
            "/v1/models": {
                "object": "list",
                "data": [
                    {"id": "nomic-embed"},
                    {"id": "gpt-oss:120b-cloud"},
                    {**self.describe_model(), "owned_by": "library"},
                ],
            },
            "/api/version": {"version": "0.32.5"},
            "/api/tags": {
                "models": [
                    {"name": self.model, "size": 2_019_393_189, "details": {"parameter_size": "3.2B"}},
                    {"name": "gpt-oss:120b-cloud", "size": 384, "remote_host": "https://ollama.com:443"},
                ]
            },
            "/api/ps": {"models": []},
        }
        return facts.get(path)

    def post(self, path: str, body: Mapping[str, Any]) -> Iterable[object]:
        if path == "/api/show":
            ability = "embedding" if body["model"].endswith("embed") else "completion"
            facts = {"parameters": self.parameters, "model_info": {"llama.context_length": self.trained_tokens}}
            return json_reply({**facts, "capabilities": [ability]})
        return self.chat(body) if path == "/api/chat" else super().post(path, body)

    def chat(self, body: Mapping[str, Any]) -> Iterator[object]:
        """The stream of an answer in Ollama's own form."""
        context = 20 if self.is_blind_to_num_ctx else body["options"]["num_ctx"]
        yield head(content_type="application/x-ndjson")
        words = self.words(body)
        for word in words:
            yield self.line({"message": {"role": "assistant", "content": word}, "done": False})
        counts = {"prompt_eval_count": min(prompt_tokens(body["messages"]), context), "eval_count": len(words) + 1}
        last = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", **counts}
        yield self.line(last)

    @staticmethod
    def line(record: Mapping[str, Any]) -> bytes:
        """A line of JSON."""
        return json.dumps(record).encode() + b"\n"


class LMStudioServer(ServerFamily):
    """LM Studio: lists what it has not loaded, and says how much is loaded in an API of its own."""

    name = "lm-studio"

    def find_facts(self, path: str) -> object:
        if path == "/api/v0/models":
            loaded = {"id": self.model, "type": "llm", "max_context_length": 32_768, "loaded_context_length": 4096}
            return {"data": [loaded, {"id": "embedder", "type": "embeddings"}]}
        if path == "/v1/models":
            return {"data": [self.describe_model(), {"id": "embedder", "object": "model"}]}
        return None

    def describe_model(self) -> dict[str, Any]:
        return {**super().describe_model(), "owned_by": "organization_owner"}

    def answer(self, body: Mapping[str, Any]) -> Iterator[object]:
        """With reasoning, as its setting for that sends it."""
        yield head()
        yield event(delta(reasoning_content="Let me", role="assistant"))
        yield event(delta(reasoning_content=" see."))
        yield from openai_stream(self.words(body), self.counted(body))


class OpenRouterServer(ServerFamily):
    """OpenRouter: comments while it works, usage unasked, the provider's own reason beside the common one."""

    name = "openrouter"
    fails_within = False

    def describe_model(self) -> dict[str, Any]:
        facts = {"name": "Meta: Llama", "context_length": 131_072, "top_provider": {"max_completion_tokens": 8192}}
        return {**super().describe_model(), **facts}

    def answer(self, body: Mapping[str, Any]) -> Iterator[object]:
        yield head()
        yield b": OPENROUTER PROCESSING\n\n"
        yield event(delta(None, role="assistant", reasoning="Hm.", reasoning_details=[]))
        for word in self.words(body):
            chunk = delta(word)
            chunk["choices"][0]["native_finish_reason"] = None
            yield event(chunk)
        if self.fails_within:
            yield event({**delta("", finish="error"), "error": {"code": 502, "message": "Provider gone"}})
            return
        yield event(delta("", finish="stop"))
        counted = usage(prompt_tokens(body["messages"]), len(self.words(body)) + 4)
        counted["completion_tokens_details"] = {"reasoning_tokens": 3}  # type: ignore[assignment]
        yield event({**delta(""), "usage": counted})
        yield b"data: [DONE]\n\n"


class OpenAIServer(ServerFamily):
    """OpenAI with a model that reasons: it refuses `max_tokens` and temperatures, and writes a new answer each time.

    It is recognized by its host alone.
    """

    refused_fields = frozenset({"max_tokens", "top_k", "repeat_penalty", "temperature"})

    def words(self, body: Mapping[str, Any]) -> list[str]:
        question = [each for each in body["messages"] if each["role"] == "user"][-1]
        return words_of(question["content"])


class TransformersServer(OpenAIServer):
    """`transformers serve`: no reason and no index until the end, where the usage is too; no `[DONE]`; `detail`."""

    name = "transformers"
    refused_fields = frozenset({"stream_options", "cache_prompt", "chat_template_kwargs"})

    def find_facts(self, path: str) -> object:
        return {"paths": {"/load_model": {}}} if path == "/openapi.json" else None

    def not_found(self) -> Iterable[object]:
        return json_reply({"detail": "Internal Server Error"}, 500)

    def refuse(self, name: str) -> Iterable[object]:
        return json_reply({"detail": f"Unexpected fields in the request: {{'{name}'}}"}, 422)

    def answer(self, body: Mapping[str, Any]) -> Iterator[object]:
        yield head(content_type="text/event-stream; charset=utf-8")
        yield event({"choices": [{"delta": {"role": "assistant"}, "index": 0}]})
        for word in self.words(body):
            yield event({"choices": [{"delta": {"content": word}, "index": 0}]})
        yield event({"choices": [{"delta": {}, "index": 0, "finish_reason": "stop"}], "usage": self.counted(body)})


class StrictServer(TransformersServer):
    """An unknown one that takes no field beyond the first: it says so, in the way of Mistral."""

    name = "unknown"
    refused_fields = frozenset({"stream_options", "seed"})

    def find_facts(self, path: str) -> object:
        return {"data": [self.describe_model()]} if path == "/v1/models" else None

    def refuse(self, name: str) -> Iterable[object]:
        return json_reply({"detail": [{"loc": ["body", name], "msg": f"Extra inputs: {name}"}]}, 422)


class WholeServer(ServerFamily):
    """A gateway that does not stream, with blank lines before its JSON."""

    def answer(self, body: Mapping[str, Any]) -> Iterator[object]:
        text = "".join(self.words(body))
        whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
        yield head(content_type="application/json")
        yield b"\n\n\n"
        yield json.dumps({**whole, "usage": self.counted(body)}).encode()


FAMILIES = [
    ServerFamily,
    LlamaCppServer,
    VllmServer,
    OllamaServer,
    LMStudioServer,
    OpenRouterServer,
    OpenAIServer,
    TransformersServer,
    StrictServer,
    WholeServer,
]
