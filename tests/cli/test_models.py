"""`chatsite models`, as people run it: with a Hub that speaks the real protocol, and without a site."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import COMMAND, Environment, Run
from tests.engine import support
from tests.hub import COMMIT, FakeHub, running_hub
from tests.site import until


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny chat model."""
    return support.make_chat_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def hub(environment: Environment, tiny: Path, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub with the tiny model as somebody/tiny, which the file of own models names."""
    instance = Path(environment["CHATSITE_INSTANCE"])
    instance.mkdir()
    (instance / "models.toml").write_text('[tiny]\nhub = "somebody/tiny"\ntitle = "Tiny"\n', "utf-8")
    with running_hub() as fake:
        fake.repositories["somebody/tiny"] = tiny
        environment |= {"HF_ENDPOINT": fake.url, "HF_HOME": str(tmp_path / "home")}
        yield fake


def test_the_list_tells_what_is_here(run: Run) -> None:
    done = run("models", "list")
    assert done.returncode == 0
    assert any(line.split()[0] == "gpt2" and line.endswith("can be fetched") for line in lines(done.stdout))
    assert any(line.split()[0] == "scripted" and line.endswith("here") for line in lines(done.stdout))
    assert "are free on the disk." in done.stdout


def lines(text: str) -> list[str]:
    """The lines that say something."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_the_list_speaks_spanish_and_has_more_on_a_wide_screen(run: Run) -> None:
    done = run("models", "list", LANG="es_ES.UTF-8", COLUMNS="160")
    assert "se puede descargar" in done.stdout
    assert "Charla breve" in done.stdout or "Charla" in done.stdout


def test_a_card_tells_all_that_is_known(run: Run) -> None:
    said = " ".join(run("models", "show", "blenderbot-3b").stdout.split())
    for fact in ("Apache-2.0", "non-commercial use only", "2.7 billion", "English", "78.7 %", "invents a life"):
        assert fact in said


def test_a_model_is_pulled_listed_and_removed(run: Run, hub: FakeHub) -> None:
    done = run("models", "pull", "tiny")
    assert (done.returncode, done.stdout) == (0, "Tiny is on this machine.\n"), done.stderr
    assert "Fetching Tiny" in done.stderr
    assert any(line.startswith("tiny") and line.endswith("here") for line in lines(run("models", "list").stdout))
    assert "tiny is here too, revision " + COMMIT in run("doctor").stdout
    refused = run("models", "remove", "tiny", said="n\n")
    assert (refused.returncode, "Delete the weights of Tiny?" in refused.stdout) == (1, True)
    assert run("models", "remove", "tiny", "--yes").stdout == "Tiny was removed.\n"
    again = run("models", "remove", "tiny", "--yes")
    assert (again.returncode, again.stderr) == (1, "This model is not on this machine.\n")


def test_what_cannot_be_is_one_sentence_and_a_status(run: Run) -> None:
    unknown = run("models", "show", "gpt-9")
    assert (unknown.returncode, "'gpt-9' is neither a folder nor one of smollm2" in unknown.stderr) == (2, True)
    script = run("models", "pull", "scripted")
    assert (script.returncode, script.stderr) == (
        1,
        "The weights of this model are not the site's to fetch or to remove.\n",
    )
    gone = run("models", "pull", "somebody/nothing", HF_ENDPOINT="http://127.0.0.1:9", LANG="es")
    assert gone.returncode == 1
    assert gone.stderr.splitlines()[-1].startswith("No se puede cargar el modelo: somebody/nothing is not in")


def test_a_file_of_own_models_that_is_wrong_stops_the_start(run: Run, hub: FakeHub, environment: Environment) -> None:
    (Path(environment["CHATSITE_INSTANCE"]) / "models.toml").write_text("[x]\nsize = 1\n", "utf-8")
    done = run("migrate")
    assert done.returncode == 2
    assert "models.toml is not what it should be: [x] has the key 'size'" in done.stderr


def test_progress_comes_in_lines_of_json(run: Run, hub: FakeHub) -> None:
    done = run("models", "pull", "tiny", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[-1] == {"revision": COMMIT}
    assert told[-2]["done"] == told[-2]["total"] > 0
    hub.repositories.clear()
    failed = run("models", "pull", "other/thing", "--json")
    assert failed.returncode == 1
    assert "cannot be fetched" in json.loads(failed.stdout.splitlines()[-1])["error"]


def test_a_pull_for_a_runner_ends_with_it(hub: FakeHub, environment: Environment, tmp_path: Path) -> None:
    hub.bytes_per_second = 20_000
    program = "import os, subprocess, sys; command = sys.argv[1:] + ['--parent', str(os.getpid())]\n"
    program += "print(subprocess.Popen(command).pid, flush=True); sys.stdin.read()"
    pull = [*COMMAND, "models", "pull", "tiny", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen([COMMAND[0], "-c", program, *pull], env=environment, stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        until(lambda: hub.sent > 0, what="The beginning")
        parent.kill()
    _, alive = psutil.wait_procs([child], timeout=20)
    assert alive == []


def test_the_setup_needs_no_embedded_model_where_the_preferred_one_is(
    run: Run, environment: Environment, tiny: Path
) -> None:
    from chatsite.engine import weights

    models = Path(environment["CHATSITE_INSTANCE"]) / "models"
    weights.install(
        models / "blenderbot-400m-distill", "1", lambda scratch: Path(shutil.copytree(tiny, scratch / "made"))
    )
    done = run("setup", CHATSITE_MODEL="auto", PIP_NO_INDEX="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
