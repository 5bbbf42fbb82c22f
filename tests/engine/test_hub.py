"""Models from the Hugging Face Hub: its cache first, then a server that speaks its protocol, and refusals in time."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from chatsite.engine import Progress
from chatsite.engine.catalogue import resolve
from chatsite.engine.decoding import checkpoint
from chatsite.engine.local import LocalEngine
from chatsite.engine.weights import ensure
from chatsite.errors import ModelUnavailableError
from tests.engine import support

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BLENDERBOT = "facebook/blenderbot-400M-distill"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a Hub that no one answers for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def pickled(blenderbot_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BlenderBot as its repository holds the real one: a pickle, vocabulary, merges, and old settings."""
    folder = tmp_path_factory.mktemp("repositories") / "pickled"
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(blenderbot_folder / name, folder)
    config = json.loads((blenderbot_folder / "config.json").read_text("utf-8"))
    old = {"num_beams": 10, "length_penalty": 0.65, "extra_layer_norm": False, "_name_or_path": "x", "max_length": 60}
    (folder / "config.json").write_text(json.dumps({**config, **old}), "utf-8")
    settings = {"num_beams": 10, "min_length": 20, "eos_token_id": 2, "forced_eos_token_id": 2, "max_length": 60}
    (folder / "generation_config.json").write_text(json.dumps(settings), "utf-8")
    tensors = load_file(blenderbot_folder / "model.safetensors")
    torch.save({name: tensor.half() for name, tensor in tensors.items()}, folder / "pytorch_model.bin")
    return folder


def put(cache: Path, repo: str, folder: Path) -> None:
    """Lay a folder into the cache, as the Hub's client does."""
    home = cache / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT, "utf-8")
    shutil.copytree(folder, home / "snapshots" / COMMIT)


def first_words(model: str, models: Path) -> str:
    """What an engine answers to a question whose answer was learnt."""
    engine = LocalEngine(model, models, threads=1)
    engine.load(lambda progress: None)
    engine.submit(support.ask("Tell me about foxes.", temperature=0.0, max_new_tokens=20))
    text = support.text_of(support.gather(engine, 1)[1])
    engine.close()
    return text


def test_a_pickle_in_the_cache_is_converted_once_and_answers(cache: Path, pickled: Path, tmp_path: Path) -> None:
    put(cache, BLENDERBOT, pickled)
    models, stages = tmp_path / "models", list[Progress]()
    found = ensure(resolve("blenderbot-400m-distill"), models, stages.append)
    assert (found.folder, found.revision) == (models / "blenderbot-400m-distill", COMMIT)
    assert stages == [Progress("converting")]
    assert {tensor.dtype for tensor in load_file(found.folder / "model.safetensors").values()} == {torch.float16}
    shutil.rmtree(cache)
    assert ensure(resolve("blenderbot-400m-distill"), models, stages.append) == found
    assert len(stages) == 1
    assert first_words("blenderbot-400m-distill", models).startswith("A fox is a small wild animal")


def test_safetensors_in_the_cache_are_used_where_they_are(cache: Path, chat_folder: Path, tmp_path: Path) -> None:
    put(cache, "somebody/tiny", chat_folder)
    found = ensure(resolve("somebody/tiny"), tmp_path / "models", lambda progress: None)
    assert cache in found.folder.parents
    assert found.revision == COMMIT
    assert first_words("somebody/tiny", tmp_path / "models").startswith("A fox is a small wild animal")
    assert not (tmp_path / "models").exists()


def test_a_pickle_of_somebody_else_is_refused(cache: Path, pickled: Path, tmp_path: Path) -> None:
    put(cache, "somebody/pickled", pickled)
    with pytest.raises(ModelUnavailableError):
        ensure(resolve("somebody/pickled"), tmp_path / "models", lambda progress: None)


def test_a_hostile_configuration_in_the_cache_is_refused(cache: Path, chat_folder: Path, tmp_path: Path) -> None:
    hostile = Path(shutil.copytree(chat_folder, tmp_path / "hostile"))
    config = json.loads((hostile / "config.json").read_text("utf-8"))
    (hostile / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "evil.C"}}), "utf-8")
    put(cache, "somebody/hostile", hostile)
    with pytest.raises(ModelUnavailableError, match="may run code"):
        ensure(resolve("somebody/hostile"), tmp_path / "models", lambda progress: None)


def test_a_hub_out_of_reach_is_a_clear_refusal_in_time(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ModelUnavailableError, match="is not in the Hugging Face cache and cannot be fetched"):
        ensure(resolve("blenderbot-3b"), tmp_path / "models", lambda progress: None)
    assert time.monotonic() - start < 10


def test_offline_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hub: FakeHub) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailableError, match="HF_HUB_OFFLINE forbids"):
        ensure(resolve("somebody/tiny"), tmp_path / "models", lambda progress: None)
    assert hub.asked == []


@dataclass
class FakeHub:
    """A server with the three answers of the Hub that are needed; `repositories` maps names to folders."""

    repositories: dict[str, Path] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def files(self, repo: str) -> list[dict[str, Any]]:
        """The files of a repository, with their sizes."""
        paths = sorted(path for path in self.repositories[repo].rglob("*") if path.is_file())
        return [
            {"rfilename": str(path.relative_to(self.repositories[repo])), "size": path.stat().st_size} for path in paths
        ]

    def handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler's own self is below.
        """A request handler that answers from the repositories."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0].strip("/")
                hub.asked.append(f"{self.command} {path}")
                for repo, folder in hub.repositories.items():
                    if path == f"api/models/{repo}/revision/main":
                        body = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": hub.files(repo)}
                        return self.answer(json.dumps(body).encode())
                    if path.startswith(f"{repo}/resolve/"):
                        return self.answer((folder / path.split("/", 4)[4]).read_bytes())
                return self.send_error(404)

            do_HEAD = do_GET  # noqa: N815 - the name is http.server's.

            def answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keep the log of the tests short."""

        return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A running Hub without repositories."""
    fake = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), fake.handler())
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "".join(template[1:]))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def test_only_what_is_needed_is_fetched_and_progress_is_reported(
    hub: FakeHub, chat_folder: Path, tmp_path: Path
) -> None:
    repository = Path(shutil.copytree(chat_folder, tmp_path / "repository"))
    for name in ("pytorch_model.bin", "README.md", "evil.py", "onnx/model.onnx"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("not needed", "utf-8")
    hub.repositories["somebody/tiny"] = repository
    stages: list[Progress] = []
    found = ensure(resolve("somebody/tiny"), tmp_path / "models", stages.append)
    assert {path.name for path in found.folder.iterdir()} == {path.name for path in chat_folder.iterdir()}
    parts = [progress.part for progress in stages if progress.part is not None]
    assert parts == sorted(parts)
    assert len(parts) > 3
    assert parts[-1] == 1.0
    asked = len(hub.asked)
    assert ensure(resolve("somebody/tiny"), tmp_path / "models", stages.append) == found
    assert len(hub.asked) == asked, "the second time the cache answers"


def test_the_pickle_of_the_catalogue_is_fetched_and_converted(hub: FakeHub, pickled: Path, tmp_path: Path) -> None:
    hub.repositories[BLENDERBOT] = pickled
    found = ensure(resolve(BLENDERBOT), tmp_path / "models", lambda progress: None)
    assert checkpoint.check(found.folder) == "blenderbot"
    assert first_words(BLENDERBOT, tmp_path / "models").startswith("A fox is a small wild animal")


def test_a_repository_without_readable_weights_is_refused(hub: FakeHub, pickled: Path, tmp_path: Path) -> None:
    hub.repositories["somebody/pickled"] = pickled
    with pytest.raises(ModelUnavailableError, match="no weights in a format that is read here"):
        ensure(resolve("somebody/pickled"), tmp_path / "models", lambda progress: None)
    assert not any("pytorch_model" in asked for asked in hub.asked)


def test_a_repository_that_is_not_there_is_a_clear_refusal(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="cannot be fetched: "):
        ensure(resolve("somebody/nothing"), tmp_path / "models", lambda progress: None)
