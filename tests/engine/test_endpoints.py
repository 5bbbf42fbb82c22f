"""Endpoints as the administrator writes them down: in the file of custom models, and in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatsite.engine.catalog.catalog import BUILTIN_ENTRIES, list_entries, resolve_entry
from chatsite.engine.catalog.endpoints import (
    ENVIRONMENT_KEY,
    Endpoint,
    RemoteModel,
    load_endpoints,
    make_entry,
    parse_environment_endpoint,
)
from chatsite.engine.catalog.entry import EndpointSource, HubSource, ModelGroup
from chatsite.errors import ModelLoadError


def toml(tmp_path: Path, text: str) -> Path:
    """A file of custom models."""
    file = tmp_path / "models.toml"
    file.write_text(text, "utf-8")
    return file


def test_file_describes_endpoints_beside_models(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        """
        [plain]
        folder = "weights/plain"

        [cloud]
        endpoint = "https://openrouter.ai/api/v1/"
        models = ["meta-llama/llama-3.3-70b-instruct:free"]
        family = "openrouter"
        key_env = "OPENROUTER_API_KEY"
        max_answers = 16
        first_byte_seconds = 30
        context = 8192
        ca_file = "company.pem"
        title = "The cloud"

        [cellar]
        endpoint = "http://192.168.1.7:8080/v1"
        key_file = "keys/cellar"
        """,
    )
    assert [entry.name for entry in list_entries(file)[len(BUILTIN_ENTRIES) :]] == ["plain"]
    cloud, cellar = load_endpoints(file)
    assert cloud == Endpoint(
        "cloud",
        "https://openrouter.ai/api/v1",
        family="openrouter",
        key_env="OPENROUTER_API_KEY",
        models=("meta-llama/llama-3.3-70b-instruct:free",),
        max_answers=16,
        first_byte_seconds=30.0,
        context_tokens=8192,
        ca_file=(tmp_path / "company.pem").resolve(),
        title="The cloud",
    )
    assert (cloud.host, cloud.is_local, cloud.has_key) == ("openrouter.ai", False, True)
    assert (cellar.key_file, cellar.max_answers) == ((tmp_path / "keys" / "cellar").resolve(), 4)
    assert (cellar.is_local, cellar.is_loopback, cellar.has_key) == (True, False, True)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://127.0.0.1:11434/v1", "ollama"),
        ("http://localhost:8080/v1/", "llama-cpp"),
        ("http://[::1]:8000/v1", "vllm"),
        ("http://127.0.0.1:1234/v1", "lm-studio"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.openai.com/v1", "openai"),
        ("http://10.0.0.5:11434/v1", "10-0-0-5"),
        ("http://gpu.company.example:8000/v1", "gpu-company-example"),
    ],
)
def test_environment_names_an_endpoint_by_its_address(url: str, name: str) -> None:
    endpoint = parse_environment_endpoint(url)
    assert (endpoint.name, endpoint.url, endpoint.key_env) == (name, url.rstrip("/"), ENVIRONMENT_KEY)


def test_name_of_the_file_wins_over_the_environment(tmp_path: Path) -> None:
    file = toml(tmp_path, "[ollama]\nendpoint = 'http://10.0.0.5:11434/v1'")
    assert [each.url for each in load_endpoints(file, "http://127.0.0.1:11434/v1")] == ["http://10.0.0.5:11434/v1"]
    assert [each.name for each in load_endpoints(file, "http://127.0.0.1:8080/v1")] == ["ollama", "llama-cpp"]
    assert load_endpoints(tmp_path / "nothing.toml") == load_endpoints(None) == ()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:11434",
        "ftp://127.0.0.1/v1",
        "http://",
        "http:///v1",
        "http://user:hunter2@127.0.0.1/v1",
        "http://127.0.0.1/v1?key=hunter2",
        "http://127.0.0.1/v1#there",
        "http://127.0.0.1:99999/v1",
        "http://127.0.0.1:x/v1",
        "http://127.0.0.1/v 1",
        "http://127.0.0.1\\@evil.example/v1",
        "http://[::1/v1",
        "http://127.0.0.1/" + "v" * 500,
    ],
)
def test_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ModelLoadError, match="not the address of a model server") as caught:
        parse_environment_endpoint(url)
    assert ":hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[A]\nendpoint = 'http://a/v1'", "not a valid name of an endpoint"),
        ("['a/b']\nendpoint = 'http://a/v1'", "not a valid name of an endpoint"),
        ("[x]\nendpoint = 'nowhere'", "not the address of a model server"),
        ("[x]\nendpoint = 3", "endpoint of .x. must be a text"),
        ("[x]\nendpoint = 'http://a/v1'\nkey = 'secret'", "unknown key 'key'; the keys are ca_file, context"),
        ("[x]\nendpoint = 'http://a/v1'\nhub = 'a/b'", "unknown key 'hub'"),
        ("[x]\nendpoint = 'http://a/v1'\nmax_answers = 0", "between 1 and 1,000"),
        ("[x]\nendpoint = 'http://a/v1'\nmax_answers = true", "between 1 and 1,000"),
        ("[x]\nendpoint = 'http://a/v1'\nmodels = 'one'", "must be a list of names"),
        ("[x]\nendpoint = 'http://a/v1'\nmodels = ['two words']", "must be a list of names"),
        ("[x]\nendpoint = 'http://a/v1'\nmodels = [\"a\\u202Eb\"]", "must be a list of names"),
        ("[x]\nendpoint = 'http://a/v1'\nfamily = 'chat'", "must be one of chatsite, llama-cpp, lm-studio"),
        ("[x]\nendpoint = 'http://a/v1'\nkey_env = 'A'\nkey_file = 'b'", "never the key itself"),
        ("[x]\nendpoint = 'http://a/v1'\nkey_env = 'sk-123'", "never the key itself"),
        ("[broken", "it cannot be read"),
    ],
)
def test_mistake_is_named_with_its_file(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ModelLoadError, match=reason) as caught:
        load_endpoints(toml(tmp_path, text))
    assert "models.toml has a mistake" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_entry_of_a_remote_model_takes_nothing_here() -> None:
    endpoint = Endpoint("ollama", "http://127.0.0.1:11434/v1")
    entry = make_entry(endpoint, RemoteModel("llama3.2:3b", context_tokens=8192, parameter_count=3_000_000_000))
    assert (entry.name, entry.title, entry.context_tokens) == ("ollama/llama3.2:3b", "llama3.2:3b", 8192)
    assert entry.source == EndpointSource("ollama", "llama3.2:3b")
    assert (entry.is_remote, entry.is_downloadable, entry.group) == (True, False, ModelGroup.CHAT)
    assert (entry.memory_bytes_int8, entry.memory_bytes_fp32, entry.step_bytes) == (0, 0, 0)
    assert entry.can_write_titles


def test_context_is_what_the_administrator_says_or_the_server_or_little() -> None:
    plain, limited = Endpoint("a", "http://a/v1"), Endpoint("a", "http://a/v1", context_tokens=1000)
    assert make_entry(limited, RemoteModel("m", context_tokens=8192)).context_tokens == 1000
    assert make_entry(plain, RemoteModel("m", context_tokens=8192)).context_tokens == 8192
    assert make_entry(plain, RemoteModel("m")).context_tokens == 4096


def test_endpoints_come_before_repositories_of_the_hub() -> None:
    ollama = Endpoint("ollama", "http://127.0.0.1:11434/v1")
    assert resolve_entry("ollama/llama3.2:3b").source == HubSource("ollama/llama3.2:3b")
    assert resolve_entry("ollama/llama3.2:3b", None, [ollama]).source == EndpointSource("ollama", "llama3.2:3b")
    assert resolve_entry("ollama/org/model", None, [ollama]).source == EndpointSource("ollama", "org/model")
    assert resolve_entry("somebody/model", None, [ollama]).source == HubSource("somebody/model")
