"""`chatsite models`, as people run it: with a Hub that speaks the real protocol, and without a site."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import CHATSITE_COMMAND, Environment, RunCommand
from tests.support import trained_models
from tests.support.hub_server import COMMIT_HASH, FakeHub, running_hub
from tests.support.served_site import wait_until


@pytest.fixture(scope="module")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny chat model."""
    return trained_models.make_chat_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def hub(environment: Environment, tiny_model_folder: Path, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub with the tiny model as somebody/tiny, which the file of own models names."""
    instance = Path(environment["CHATSITE_INSTANCE"])
    instance.mkdir()
    (instance / "models.toml").write_text('[tiny]\nhub = "somebody/tiny"\ntitle = "Tiny"\n', "utf-8")
    with running_hub() as fake:
        fake.repositories["somebody/tiny"] = tiny_model_folder
        environment |= {"HF_ENDPOINT": fake.url, "HF_HOME": str(tmp_path / "home")}
        yield fake


def test_list_shows_model_status_and_disk_space(run_command: RunCommand) -> None:
    done = run_command("models", "list")
    assert done.returncode == 0
    assert any(line.split()[0] == "gpt2" and line.endswith("available") for line in lines(done.stdout))
    assert any(line.split()[0] == "scripted" and line.endswith("downloaded") for line in lines(done.stdout))
    assert "free on disk." in done.stdout


def lines(text: str) -> list[str]:
    """The lines that say something."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_list_is_translated_and_adds_columns_when_wide(run_command: RunCommand) -> None:
    done = run_command("models", "list", LANG="es_ES.UTF-8", COLUMNS="160")
    assert "disponible" in done.stdout
    assert "Charla informal" in done.stdout or "Charla" in done.stdout


def test_show_prints_all_model_facts(run_command: RunCommand) -> None:
    said = " ".join(run_command("models", "show", "blenderbot-3b").stdout.split())
    for fact in ("Apache-2.0", "non-commercial use only", "2.7 billion", "English", "78.7 %", "makes up a life"):
        assert fact in said


def test_model_can_be_downloaded_listed_and_removed(run_command: RunCommand, hub: FakeHub) -> None:
    done = run_command("models", "pull", "tiny")
    assert (done.returncode, done.stdout) == (0, "Tiny is downloaded.\n"), done.stderr
    assert "Downloading Tiny" in done.stderr
    assert any(
        line.startswith("tiny") and line.endswith("downloaded") for line in lines(run_command("models", "list").stdout)
    )
    assert "tiny also downloaded, revision " + COMMIT_HASH in run_command("doctor").stdout
    refused = run_command("models", "remove", "tiny", said="n\n")
    assert (refused.returncode, "Delete the files of Tiny?" in refused.stdout) == (1, True)
    assert run_command("models", "remove", "tiny", "--yes").stdout == "Tiny was removed.\n"
    again = run_command("models", "remove", "tiny", "--yes")
    assert (again.returncode, again.stderr) == (1, "This model is not downloaded.\n")


def test_invalid_actions_print_message_and_exit_status(run_command: RunCommand) -> None:
    unknown = run_command("models", "show", "gpt-9")
    assert (unknown.returncode, "'gpt-9' is neither a folder nor one of smollm2" in unknown.stderr) == (2, True)
    script = run_command("models", "pull", "scripted")
    assert (script.returncode, script.stderr) == (
        1,
        "The site does not manage the files of this model.\n",
    )
    gone = run_command("models", "pull", "somebody/nothing", HF_ENDPOINT="http://127.0.0.1:9", LANG="es")
    assert gone.returncode == 1
    assert gone.stderr.splitlines()[-1].startswith("No se puede cargar el modelo: somebody/nothing no está en")


def test_invalid_models_file_stops_startup(run_command: RunCommand, hub: FakeHub, environment: Environment) -> None:
    (Path(environment["CHATSITE_INSTANCE"]) / "models.toml").write_text("[x]\nsize = 1\n", "utf-8")
    done = run_command("migrate")
    assert done.returncode == 2
    assert "models.toml has a mistake: [x] has the unknown key 'size'" in done.stderr


def test_download_progress_is_printed_as_json_lines(run_command: RunCommand, hub: FakeHub) -> None:
    done = run_command("models", "pull", "tiny", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[-1] == {"revision": COMMIT_HASH}
    assert told[-2]["done_bytes"] == told[-2]["total_bytes"] > 0
    hub.repositories.clear()
    failed = run_command("models", "pull", "other/thing", "--json")
    assert failed.returncode == 1
    error = json.loads(failed.stdout.splitlines()[-1])["error"]
    assert (error["code"], error["params"]["repo"]) == ("hub_unreachable", "other/thing")
    assert "cannot be downloaded" in error["message"]


def test_download_process_exits_with_parent(hub: FakeHub, environment: Environment, tmp_path: Path) -> None:
    hub.bytes_per_second = 20_000
    program = "import sys; from chatsite.runner.download_process import DownloadProcess\n"
    program += "print(DownloadProcess('tiny', {})._process.pid, flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([CHATSITE_COMMAND[0], "-c", program], env=environment, stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        wait_until(lambda: hub.bytes_sent > 0, what="The beginning")
        parent.kill()
    _, alive = psutil.wait_procs([child], timeout=60)
    assert alive == []


def test_setup_skips_embedded_model_when_preferred_is_present(
    run_command: RunCommand, environment: Environment, tiny_model_folder: Path
) -> None:
    from chatsite.engine.downloads import weights

    models = Path(environment["CHATSITE_INSTANCE"]) / "models"
    weights.install_folder(
        models / "blenderbot-400m-distill",
        "1",
        lambda scratch: Path(shutil.copytree(tiny_model_folder, scratch / "made")),
    )
    done = run_command("setup", CHATSITE_DEFAULT_MODEL="auto", PIP_NO_INDEX="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
