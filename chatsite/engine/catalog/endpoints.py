"""Endpoints: servers of models elsewhere, which speak OpenAI's chat completions.

The administrator names them, in the file of custom models or in the environment:

    [ollama]
    endpoint = "http://127.0.0.1:11434/v1"
    models = ["llama3.2:3b"]            # the rest may be left out; without it all that the server lists
    family = "ollama"                   # otherwise found out by asking the server
    key_env = "OLLAMA_KEY"              # or key_file = "keys/ollama", a file that only its owner can read
    max_answers = 4
    first_byte_seconds = 120
    context = 8192                      # tokens; otherwise what the server says
    ca_file = "company.pem"
    title = "The machine in the cellar"

This module reads addresses and names only, so the web process may import it: keys are read by the runner.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from chatsite.engine.catalog.entry import CatalogEntry, EndpointSource
from chatsite.errors import ChatsiteError, ModelLoadError, catalog_reasons, endpoints, gettext_noop
from chatsite.hosts import is_loopback, parse_address

ENDPOINT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
# Ids of models have slashes, colons and the like, but no spaces.
MODEL_ID = re.compile(r"\S{1,200}")
ENVIRONMENT_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HEADER_KEY = re.compile(r"[\x21-\x7e]{1,1000}")
# How the servers differ that the site knows: `chatsite.engine.remote.families` has a file for each.
ENDPOINT_FAMILIES = (
    "chatsite",
    "llama-cpp",
    "lm-studio",
    "ollama",
    "openai",
    "openrouter",
    "transformers",
    "unknown",
    "vllm",
)
# What listens where if nobody says otherwise; an address in the environment gets the name of what is usual there.
NAME_BY_PORT = {11434: "ollama", 8080: "llama-cpp", 8000: "vllm", 1234: "lm-studio"}
ENVIRONMENT_KEY = "CHATSITE_ENDPOINT_KEY"
DEFAULT_CONTEXT_TOKENS = 4096
MAX_ANSWERS = 1000
MAX_FIRST_BYTE_SECONDS = 3600
MAX_CONTEXT_TOKENS = 100_000_000
MAX_URL_CHARS = 500
TEXT_KEYS = ("endpoint", "family", "key_env", "key_file", "ca_file", "title")
NUMBER_LIMITS = {
    "max_answers": MAX_ANSWERS,
    "first_byte_seconds": MAX_FIRST_BYTE_SECONDS,
    "context": MAX_CONTEXT_TOKENS,
}
ALLOWED_KEYS = {*TEXT_KEYS, *NUMBER_LIMITS, "models"}


@dataclass(frozen=True)
class Endpoint:
    """A server of models that speaks OpenAI's chat completions.

    `url` is the base of its paths, `http://127.0.0.1:11434/v1`. `family` is one of ENDPOINT_FAMILIES, or empty if the
    server is to be asked. The key is in the environment variable `key_env` or in `key_file`. `models` are the only ids
    that are used; empty means all that the server lists. `max_answers` is how many it writes at once, for all runners
    together, `first_byte_seconds` how long it may be silent at first. `context_tokens` 0 means what the server says.
    `ca_file` holds the certificates that its own is signed with, if the system does not know them.
    """

    name: str
    url: str
    family: str = ""
    key_env: str = ""
    key_file: Path | None = None
    models: tuple[str, ...] = ()
    max_answers: int = 4
    first_byte_seconds: float = 120.0
    context_tokens: int = 0
    ca_file: Path | None = None
    title: str = ""

    @property
    def host(self) -> str:
        """Where the words of a conversation go: the host, without the port."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_loopback(self) -> bool:
        """Whether the server runs on this machine."""
        return is_loopback(self.host)

    @property
    def is_local(self) -> bool:
        """Whether words stay within this machine or its private network, as far as the address tells."""
        address = parse_address(self.host)
        return self.is_loopback or (isinstance(address, IPv4Address | IPv6Address) and address.is_private)

    @property
    def has_key(self) -> bool:
        """Whether a key is configured; whether the server takes it is another question."""
        return bool(self.key_env or self.key_file)


@dataclass(frozen=True)
class RemoteModel:
    """What a server says about one of its models; numbers that it does not tell are 0."""

    id: str
    title: str = ""
    context_tokens: int = 0
    size_bytes: int = 0
    parameter_count: int = 0


def load_endpoints(custom_models_file: Path | None, environment_endpoint: str = "") -> tuple[Endpoint, ...]:
    """Return the endpoints that the administrator configured: those of the file, then that of the setting ENDPOINT.

    A name of the file wins. Each process reads the file once. Raises ModelLoadError with what is wrong.
    """
    in_file = _load_cached(custom_models_file) if custom_models_file else ()
    if not environment_endpoint:
        return in_file
    from_environment = parse_environment_endpoint(environment_endpoint)
    return (*in_file, *(() if from_environment.name in {each.name for each in in_file} else (from_environment,)))


def parse_environment_endpoint(url: str) -> Endpoint:
    """Return the endpoint of an address, named after what is usual at its port, or after its host.

    Its key, if it needs one, is in the environment variable CHATSITE_ENDPOINT_KEY. Raises ModelLoadError if `url` is
    no base of paths.
    """
    try:
        clean_url = parse_url(url)
    except ChatsiteError as error:
        raise ModelLoadError(reason=error) from error
    return Endpoint(name_for(clean_url), clean_url, key_env=ENVIRONMENT_KEY)


def parse_url(text: str) -> str:
    """Return a base URL without a final slash.

    Raises InvalidEndpointUrlError unless it is an http or https URL without user, query and fragment.
    """
    text = text.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or len(text) > MAX_URL_CHARS or re.search(r"[\s\x00-\x1f\x7f@?#\\]", text):
        # A URL with a user in it holds a password, which must not be shown.
        raise endpoints.InvalidEndpointUrlError(url=repr(text.rpartition("@")[2][:MAX_URL_CHARS]))
    return text


def name_for(url: str) -> str:
    """Return the name of an endpoint that nobody named: what is usual at its port on this machine, or its host."""
    parts = urlsplit(url)
    if is_loopback(parts.hostname or "") and parts.port in NAME_BY_PORT:
        return NAME_BY_PORT[parts.port]
    host = re.sub(r"^(api|www)\.|\.(ai|com|net|org|local|lan)$", "", (parts.hostname or "").lower())
    return re.sub(r"[^a-z0-9]+", "-", host).strip("-")[:40].strip("-") or "endpoint"


def make_entry(endpoint: Endpoint, model: RemoteModel) -> CatalogEntry:
    """Return the catalog entry of a model of an endpoint, which is named `endpoint/model`."""
    return CatalogEntry(
        name=f"{endpoint.name}/{model.id}",
        title=model.title or model.id,
        purpose=gettext_noop("A model of a server that the administrator added."),
        license_name=gettext_noop("unknown"),
        parameter_count=model.parameter_count,
        training_data=gettext_noop("unknown"),
        languages=(),
        context_tokens=endpoint.context_tokens or model.context_tokens or DEFAULT_CONTEXT_TOKENS,
        family="chat",
        limitations=gettext_noop("Its quality is unknown."),
        source=EndpointSource(endpoint.name, model.id),
    )


def find_entry(name: str, configured: Sequence[Endpoint]) -> CatalogEntry | None:
    """Return the catalog entry of a name such as `ollama/llama3.2:3b`, or None if no endpoint has that name.

    Nothing is known of the model; only the server can tell whether it has it.
    """
    endpoint_name, _, model = name.partition("/")
    endpoint = next((each for each in configured if each.name == endpoint_name), None)
    return make_entry(endpoint, RemoteModel(model)) if endpoint and is_model_id(model) else None


def is_model_id(text: str) -> bool:
    """Return whether a text can be the id of a model: nothing that a page or a terminal cannot show as it is."""
    return bool(MODEL_ID.fullmatch(text)) and text.isprintable()


def is_endpoint_table(table: object) -> bool:
    """Return whether a table of the file of custom models describes an endpoint."""
    return isinstance(table, dict) and "endpoint" in table


@functools.lru_cache(maxsize=8)
def _load_cached(file: Path) -> tuple[Endpoint, ...]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        _raise_invalid_file(file, catalog_reasons.CustomModelsUnreadableError(cause=error))
    return tuple(_parse_endpoint(file, name, table) for name, table in tables.items() if is_endpoint_table(table))


def _parse_endpoint(file: Path, name: str, table: dict[str, Any]) -> Endpoint:
    if not ENDPOINT_NAME.fullmatch(name):
        _raise_invalid_file(file, endpoints.InvalidEndpointNameError(name=name))
    _require_valid_table(file, name, table)
    try:
        url = parse_url(table["endpoint"])
    except ChatsiteError as error:
        _raise_invalid_file(file, error)
    return Endpoint(
        name,
        url,
        family=table.get("family", ""),
        key_env=table.get("key_env", ""),
        key_file=_parse_path(file, table, "key_file"),
        models=tuple(table.get("models", ())),
        max_answers=table.get("max_answers", Endpoint.max_answers),
        first_byte_seconds=float(table.get("first_byte_seconds", Endpoint.first_byte_seconds)),
        context_tokens=table.get("context", 0),
        ca_file=_parse_path(file, table, "ca_file"),
        title=table.get("title", ""),
    )


def _parse_path(file: Path, table: dict[str, Any], key: str) -> Path | None:
    """Return a path of a table, or None; a relative one counts from the folder of the file."""
    return (file.parent / Path(table[key]).expanduser()).resolve() if key in table else None


def _require_valid_table(file: Path, name: str, table: dict[str, Any]) -> None:
    """Raise ModelLoadError for keys that no endpoint has and for values of another kind."""
    for key, value in table.items():
        if key not in ALLOWED_KEYS:
            _raise_invalid_file(
                file,
                catalog_reasons.UnknownModelKeyError(name=name, key=repr(key), keys=", ".join(sorted(ALLOWED_KEYS))),
            )
        if key in TEXT_KEYS and not (isinstance(value, str) and value.strip()):
            _raise_invalid_file(file, catalog_reasons.ModelKeyNotTextError(name=name, key=key))
        if key in NUMBER_LIMITS and not (type(value) is int and 1 <= value <= NUMBER_LIMITS[key]):
            _raise_invalid_file(file, endpoints.EndpointNumberError(name=name, key=key, most=f"{NUMBER_LIMITS[key]:,}"))
    models = table.get("models", [])
    if not isinstance(models, list) or not all(isinstance(each, str) and is_model_id(each) for each in models):
        _raise_invalid_file(file, endpoints.EndpointModelsError(name=name))
    if table.get("family", ENDPOINT_FAMILIES[0]) not in ENDPOINT_FAMILIES:
        _raise_invalid_file(
            file, catalog_reasons.UnknownModelFamilyError(name=name, families=", ".join(ENDPOINT_FAMILIES))
        )
    if ("key_env" in table and "key_file" in table) or not ENVIRONMENT_VARIABLE.fullmatch(table.get("key_env", "_")):
        _raise_invalid_file(file, endpoints.EndpointKeySourceError(name=name))


def _raise_invalid_file(file: Path, cause: ChatsiteError) -> NoReturn:
    raise ModelLoadError(reason=catalog_reasons.CustomModelsFileError(file=file, cause=cause))
