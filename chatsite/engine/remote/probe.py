"""Finding out what a server is, which models it has and how much they read."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from chatsite.engine.catalog.endpoints import MAX_ANSWERS, Endpoint, RemoteModel, is_model_id
from chatsite.engine.remote.bodies import root_url
from chatsite.engine.remote.capabilities import Capabilities
from chatsite.engine.remote.failures import RequestFailedError
from chatsite.errors import endpoints

# Clouds list hundreds. Whoever needs others names them in the file of custom models.
MAX_MODELS = 1000
MAX_TITLE_CHARS = 200
MAX_NUMBER = 10**15
# Asking Ollama for each model takes a request.
MAX_DETAILED_MODELS = 50
# Ollama reads so much if nobody says otherwise; more takes more memory there.
OLLAMA_CONTEXT_TOKENS = 4096
CONTEXT_KEYS = ("max_model_len", "context_length", "loaded_context_length", "context_window")
UNITS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
# They answer though the list of their models may fail.
LISTLESS_FAMILIES = ("ollama", "transformers")
STRICT_CLOUDS = ("api.openai.com", "api.groq.com", "api.mistral.ai", "openai.azure.com", "services.ai.azure.com")


@dataclass(frozen=True)
class EndpointReport:
    """What a server says: its family, its models, what it can (as JSON), and how many answers it writes at once."""

    family: str
    models: tuple[RemoteModel, ...]
    capabilities: dict[str, Any] = field(default_factory=dict)
    max_answers: int = 4

    def find_model(self, model_id: str) -> RemoteModel:
        """Return what is known of a model; nothing if the server does not list it."""
        return next((model for model in self.models if model.id == model_id), RemoteModel(model_id))


class Asker(Protocol):
    """What the probe needs of a client."""

    endpoint: Endpoint
    learned: Capabilities

    @property
    def key(self) -> str: ...

    async def get_json(self, url: str) -> tuple[Any, Mapping[str, str]]: ...
    async def post_json(self, path: str, body: Mapping[str, Any]) -> Any: ...


async def probe_server(asker: Asker) -> EndpointReport:
    """Ask a server what it is. Raises RequestFailedError if it is none, or cannot be asked."""
    endpoint = asker.endpoint
    reply, headers, failure = await _list_models(asker)
    if failure and _is_away(failure):
        raise failure
    records = _records(reply)
    family = endpoint.family or await _recognize(asker, records, headers)
    if failure and not (endpoint.models or family in LISTLESS_FAMILIES):
        raise failure
    if failure is None and not isinstance(reply, Mapping | list):
        raise RequestFailedError(endpoints.EndpointGarbageError(endpoint=endpoint.name))
    listed = [model for record in records if (model := _parse_model(record))]
    # A gateway may repeat what it was sent wherever it likes.
    models = _choose(endpoint, [model for model in listed if not asker.key or asker.key not in model.id + model.title])
    max_answers = endpoint.max_answers
    if family == "llama-cpp":
        models, max_answers = await _detail_llama_cpp(asker, models)
    elif family == "ollama":
        models = await _detail_ollama(asker, models)
    elif family == "lm-studio":
        models = await _detail_lm_studio(asker, models)
    asker.learned.note_server(_fingerprint(family, models))
    return EndpointReport(family, tuple(models), asker.learned.to_json(), max_answers)


async def _list_models(asker: Asker) -> tuple[Any, Mapping[str, str], RequestFailedError | None]:
    try:
        reply, headers = await asker.get_json(f"{asker.endpoint.url}/models")
    except RequestFailedError as failure:
        return None, {}, failure
    return reply, headers, None


def _fingerprint(family: str, models: Sequence[RemoteModel]) -> str:
    """Return what changes when a server is another one, or reads more or less than before."""
    facts = sorted((model.id, model.context_tokens) for model in models)
    return hashlib.blake2b(repr((family, facts)).encode(), digest_size=8).hexdigest()


def _is_away(failure: RequestFailedError) -> bool:
    """Return whether nobody answers, or not for us: other failures are those of the list only."""
    return failure.advice.status in {0, 401, 402} or failure.advice.is_loading


async def _recognize(asker: Asker, records: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> str:
    """Return the family of a server, by what gives it away."""
    first, host = records[0] if records else {}, asker.endpoint.host
    owner = first.get("owned_by")
    if owner == "chatsite":
        return "chatsite"
    if "llama.cpp" in headers.get("server", "").lower() or owner == "llamacpp":
        return "llama-cpp"
    if host.endswith("openrouter.ai") or isinstance(first.get("top_provider"), Mapping):
        return "openrouter"
    if host.endswith(STRICT_CLOUDS):
        return "openai"
    if owner == "vllm" or "max_model_len" in first:
        return "vllm"
    if await _offers(asker, "/api/version", "version"):
        return "ollama"
    if await _offers(asker, "/api/v0/models", "data"):
        return "lm-studio"
    schema = await _find_json(asker, "/openapi.json")
    paths = schema.get("paths") if isinstance(schema, Mapping) else None
    return "transformers" if isinstance(paths, Mapping) and "/load_model" in paths else "unknown"


async def _offers(asker: Asker, path: str, key: str) -> bool:
    reply = await _find_json(asker, path)
    return isinstance(reply, Mapping) and key in reply


async def _find_json(asker: Asker, path: str) -> Any:
    """Return the JSON at a path below the root; None if there is none."""
    try:
        return (await asker.get_json(root_url(asker.endpoint) + path))[0]
    except RequestFailedError:
        return None


def _records(reply: object) -> list[Mapping[str, Any]]:
    items = reply.get("data", reply.get("models")) if isinstance(reply, Mapping) else reply
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _parse_model(record: Mapping[str, Any]) -> RemoteModel | None:
    """Read what a list says of a model; None if it has no name that can be used."""
    model_id = record.get("id") or record.get("name")
    if not isinstance(model_id, str) or not is_model_id(model_id):
        return None
    meta, name = record.get("meta"), record.get("name")
    meta = meta if isinstance(meta, Mapping) else {}
    title = name[:MAX_TITLE_CHARS] if isinstance(name, str) and name.isprintable() else ""
    contexts = (
        record.get(key) for key in ("max_model_len", "context_length", "loaded_context_length", "context_window")
    )
    context_tokens = next((size for each in contexts if (size := _number(each))), 0)
    return RemoteModel(
        model_id,
        "" if title == model_id else title,
        context_tokens or _number(meta.get("n_ctx")) or _number(meta.get("n_ctx_train")),
        _number(meta.get("size")),
        _number(meta.get("n_params")),
    )


def _choose(endpoint: Endpoint, models: Sequence[RemoteModel]) -> list[RemoteModel]:
    """Return the models that the administrator names, listed or not, or all that there are."""
    if not endpoint.models:
        return list({model.id: model for model in models}.values())[:MAX_MODELS]
    by_id = {model.id: model for model in models}
    return [by_id.get(model_id, RemoteModel(model_id)) for model_id in endpoint.models]


async def _detail_llama_cpp(asker: Asker, models: list[RemoteModel]) -> tuple[list[RemoteModel], int]:
    """Add how much each of the server's places reads; it has as many places as answers that it writes at once."""
    properties = await _find_json(asker, "/props")
    if not isinstance(properties, Mapping):
        return models, asker.endpoint.max_answers
    settings = properties.get("default_generation_settings")
    context_tokens = _number(settings.get("n_ctx")) if isinstance(settings, Mapping) else 0
    if context_tokens:
        models = [replace(model, context_tokens=context_tokens) for model in models]
    places = _number(properties.get("total_slots")) or MAX_ANSWERS
    return models, min(places, asker.endpoint.max_answers)


async def _detail_ollama(asker: Asker, models: list[RemoteModel]) -> list[RemoteModel]:
    """Add sizes, and how much a model reads: what it was started with or told to, or else Ollama's own default."""
    tags, running = await asyncio.gather(_find_json(asker, "/api/tags"), _find_json(asker, "/api/ps"))
    records = {str(record.get("name")): record for record in _records(tags)}
    running_contexts = {str(each.get("name")): _number(each.get("context_length")) for each in _records(running)}
    if not models:
        listed = [RemoteModel(name) for name in records if is_model_id(name)]
        models = _choose(asker.endpoint, listed)
    if not asker.endpoint.models:
        # What this server only passes on to the maker's own leaves this computer, so the administrator has to name it.
        models = [model for model in models if not records.get(model.id, {}).get("remote_host")]
    detailed = await asyncio.gather(*(_ollama_context(asker, model.id) for model in models[:MAX_DETAILED_MODELS]))
    contexts = [*detailed, *(0 for _ in models[MAX_DETAILED_MODELS:])]
    chatting = [(model, tokens) for model, tokens in zip(models, contexts, strict=True) if tokens is not None]
    return [
        replace(
            model,
            context_tokens=running_contexts.get(model.id) or context_tokens or OLLAMA_CONTEXT_TOKENS,
            size_bytes=_number(records.get(model.id, {}).get("size")),
            parameter_count=_parse_parameter_size(records.get(model.id, {})),
        )
        for model, context_tokens in chatting
    ]


async def _ollama_context(asker: Asker, model_id: str) -> int | None:
    """Return how much a model of Ollama reads, 0 if that is not known, and None for one that only embeds.

    That is as much as it is told to, but never more than it was trained with.
    """
    try:
        shown = await asker.post_json("/api/show", {"model": model_id})
    except RequestFailedError:
        return 0
    if not isinstance(shown, Mapping):
        return 0
    abilities = shown.get("capabilities")
    if isinstance(abilities, list) and abilities and "completion" not in abilities:
        return None
    parameters = re.search(r"^num_ctx\s+(\d{1,9})\s*$", str(shown.get("parameters") or ""), re.MULTILINE)
    info = shown.get("model_info")
    info = info if isinstance(info, Mapping) else {}
    trained = next((_number(value) for key, value in info.items() if str(key).endswith(".context_length")), 0)
    wanted = int(parameters[1]) if parameters else OLLAMA_CONTEXT_TOKENS
    return min(wanted, trained or wanted)


def _parse_parameter_size(record: Mapping[str, Any]) -> int:
    """Return the number of weights that Ollama writes as `3.2B`; 0 if it does not say."""
    details = record.get("details")
    text = str(details.get("parameter_size") or "") if isinstance(details, Mapping) else ""
    size = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)([KMBT])", text)
    return round(float(size[1]) * UNITS[size[2]]) if size else 0


async def _detail_lm_studio(asker: Asker, models: list[RemoteModel]) -> list[RemoteModel]:
    """Add how much the models read, and leave out those that only embed."""
    records = {str(record.get("id")): record for record in _records(await _find_json(asker, "/api/v0/models"))}
    detailed = []
    for model in models:
        record = records.get(model.id, {})
        context_tokens = _number(record.get("loaded_context_length")) or _number(record.get("max_context_length"))
        if record.get("type") not in {"embeddings", "embedding"}:
            detailed.append(replace(model, context_tokens=context_tokens or model.context_tokens))
    return detailed


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER else 0
