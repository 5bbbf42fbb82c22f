"""`chatsite chat`: one question through a pipe, and a conversation at a terminal."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatsite.cli.screen import Screen
from chatsite.cli.terminal import Answer
from chatsite.models import Status
from chatsite.services.receipts import Reading, ReadTurn
from tests.cli.conftest import COMMAND, Environment, Keyboard, Run, runners_of
from tests.site import until


@pytest.fixture
def runner(environment: Environment, run: Run) -> Iterator[None]:
    """A runner that somebody else started."""
    assert run("migrate").returncode == 0
    with subprocess.Popen([*COMMAND, "runner"], env=environment, stderr=subprocess.DEVNULL) as process:
        until(lambda: run("doctor").returncode == 0, what="The runner")
        yield
        process.terminate()
        assert process.wait(10) == 0


def test_a_piped_question_gets_the_bare_answer(run: Run, environment: Environment) -> None:
    done = run("chat", said="/say **Bold** words\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "**Bold** words\n", "")
    assert runners_of(environment) == []


def test_a_piped_question_gets_what_is_decided_and_no_draft(run: Run) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    done = run("chat", said=f"/draft {text}", CHATSITE_SCRIPTED_TOKENS_PER_SECOND="100")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{text}\n", "")


def test_beside_a_runner_it_starts_none(run: Run, runner: None, environment: Environment, tmp_path: Path) -> None:
    done = run("chat", said="/say Hello")
    assert (done.returncode, done.stdout) == (0, "Hello\n")
    assert not (tmp_path / "instance" / "runner.log").exists()
    assert len(runners_of(environment)) == 1


@pytest.mark.parametrize(
    ("said", "more", "sentence"),
    [
        ("/fail", {}, "The model could not answer."),
        ("", {}, "Write something first."),
        ("x" * 20, {"CHATSITE_MESSAGE_CHARS": "10"}, "This message has 20 characters; at most 10"),
    ],
)
def test_what_goes_wrong_is_said_on_stderr(run: Run, said: str, more: dict[str, str], sentence: str) -> None:
    done = run("chat", said=said, **more)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert sentence not in done.stdout


def test_a_bad_setting_is_one_sentence(run: Run) -> None:
    done = run("chat", said="Hello", CHATSITE_TICK_MS="soon")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "CHATSITE_TICK_MS='soon' cannot be used: it must be a number.\n"


def test_a_model_that_cannot_be_had_is_said_and_the_question_is_not_left_waiting(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    done = run("chat", said="Hello", CHATSITE_MODEL=str(tmp_path / "hollow"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The model cannot be loaded: ")


def test_the_identity_of_the_terminal_is_its_owners_alone(run: Run, tmp_path: Path) -> None:
    run("chat", said="/say Hello")
    for name in ("terminal_token", "runner.log"):
        assert stat.S_IMODE((tmp_path / "instance" / name).stat().st_mode) == 0o600


def test_a_conversation_at_a_terminal(keyboard: Callable[..., Keyboard], environment: Environment) -> None:
    person = keyboard("chat")
    person.expect("/help lists the commands")
    person.enter("//say The *first* answer")
    person.expect("The first answer")
    person.enter("/new")
    person.expect("A new conversation.")
    person.enter("//say The second answer")
    person.expect("The second answer")
    person.enter("/list")
    person.expect("1  /say The second answer")
    person.expect("2  /say The first answer")
    person.enter("/open 2")
    person.expect("> /say The *first* answer")
    person.expect("The first answer")
    person.enter("/open 9")
    person.expect("Say which one by its number")
    person.enter("/why")
    person.expect("> /say| The| *first*| answer")
    person.expect("scripted has read 4 of 2000 tokens.")
    person.enter("/model")
    person.expect("Demo script")
    person.enter("/nonsense")
    person.expect("There is no command /nonsense")
    assert len(runners_of(environment)) == 1
    person.leave()
    assert person.left() == 0
    assert runners_of(environment) == []


def test_drafts_are_redrawn_at_a_terminal(keyboard: Callable[..., Keyboard]) -> None:
    person = keyboard("chat", CHATSITE_SCRIPTED_TOKENS_PER_SECOND="10")
    person.expect("/help lists the commands")
    person.enter("//draft One two three four five six seven eight nine ten eleven twelve thirteen.")
    # A draft has its newest words the wrong way round.
    person.expect("enO")
    person.expect("One two three four five six seven eight nine ten eleven twelve thirteen.")
    person.leave()
    assert person.left() == 0


def test_who_answers_can_be_chosen_at_a_terminal(
    keyboard: Callable[..., Keyboard], run: Run, tmp_path: Path, environment: Environment
) -> None:
    assert run("migrate").returncode == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "instance" / "chatsite.db")) as database, database:
        columns = "name, state, loading, loaded, seen_at"
        database.execute(f"INSERT INTO model ({columns}) VALUES ('smollm2-135m-instruct', 'ready', 0, 0, '2026-01-01')")
    person = keyboard("chat")
    person.expect("/help lists the commands")
    person.enter("/model")
    person.expect("○ smollm2-135m-instruct: A very small assistant")
    person.expect("● scripted: Shows the site without a model")
    person.expect("Demo script")
    person.enter("/model nobody")
    person.expect("nobody is not on this machine.")
    person.enter("/preset wild")
    person.expect("There is no such manner of answering.")
    person.enter("/model smollm2-135m-instruct")
    person.expect("From here on: SmolLM2 135M Instruct, balanced.")
    person.enter("/preset creative")
    person.expect("From here on: SmolLM2 135M Instruct, creative.")
    person.enter("/new")
    person.enter("/preset precise")
    person.expect("From here on: Demo script, precise.")
    person.enter("//say The answer")
    person.expect("The answer")
    person.expect("The answer")
    person.enter("/model")
    person.expect("● scripted")
    person.enter("/preset creative")
    person.expect("From here on: Demo script, creative.")
    person.leave()
    assert person.left() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "instance" / "chatsite.db")) as database:
        assert database.execute("SELECT model, preset FROM conversation").fetchall() == [("scripted", "creative")]
        assert database.execute("SELECT model, preset FROM generation").fetchall() == [("scripted", "precise")]
    assert runners_of(environment) == []


def test_ctrl_c_stops_the_answer_and_not_the_program(keyboard: Callable[..., Keyboard]) -> None:
    person = keyboard("chat")
    person.expect("/help lists the commands")
    person.enter("half a line", end="")
    person.expect("half a line")
    person.type("\x03")
    person.enter("//long 3000")
    person.expect("word20")
    person.type("\x03")
    person.expect("Stopped.")
    person.enter("//say Still here")
    person.expect("Still here")
    person.expect("Still here")
    person.enter("/quit")
    assert person.left() == 0
    assert "word3000" not in person.seen


def test_a_killed_runner_of_the_terminal_is_replaced(
    keyboard: Callable[..., Keyboard], environment: Environment
) -> None:
    person = keyboard("chat", CHATSITE_LEASE_SECONDS="1", CHATSITE_SCRIPTED_TOKENS_PER_SECOND="100")
    person.expect("/help lists the commands")
    person.enter("//long 150")
    person.expect("word20")
    runners_of(environment)[0].kill()
    person.expect("word150")
    person.leave()
    assert person.left() == 0


def test_the_model_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().show([Answer("a\x1b]0;owned\x07b\x9b2Jc\n\nd\x1b[2J", Status.DONE)])
    printed = capsys.readouterr().out
    assert "a]0;ownedb2Jc" in printed
    assert not {"\x1b", "\x07", "\x9b"} & set(printed)


def test_it_speaks_spanish(run: Run) -> None:
    assert run("chat", said="", LANG="es_ES.UTF-8").stderr == "Escribe algo primero.\n"


def test_why_tells_what_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    turns = (
        ReadTurn("user", 900, kept=False, cut=False, text="Early\n\x1b[2Jquestion " * 20),
        ReadTurn("assistant", 0, kept=False, cut=False),
        ReadTurn(
            "assistant", 4, kept=True, cut=False, text="Some older words", head="Some", pieces=(" older", " words")
        ),
        ReadTurn("user", 2, kept=True, cut=True, text="Too long", pieces=(" lo", "ng")),
    )
    Screen().reading(Reading("tiny", "1", "chat", 128, 90, (), turns, {"seed": 7, "top_p": None}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Early [2Jquestion")
    assert len(lines[0]) < 70
    assert "above this line" in lines[1]
    assert lines[2:] == ["Some| older| words", "> … lo|ng", "tiny has read 90 of 128 tokens.", "seed 7"]
    Screen().reading(None)
    assert "nothing was kept" in capsys.readouterr().out
