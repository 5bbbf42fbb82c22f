"""`chatsite chat`: one question through a pipe, and a conversation at a terminal."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from chatsite.cli.chat_client import AnswerState
from chatsite.cli.output import Output
from chatsite.models import Status
from chatsite.services.chat.prompt_report import PromptReport, ReportedTurn
from tests.cli.conftest import CHATSITE_COMMAND, Environment, RunCommand, TerminalSession, list_runners
from tests.support.served_site import wait_until


@pytest.fixture
def external_runner(environment: Environment, run_command: RunCommand) -> Iterator[None]:
    """A runner that somebody else started."""
    assert run_command("migrate").returncode == 0
    with subprocess.Popen([*CHATSITE_COMMAND, "runner"], env=environment, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: run_command("doctor").returncode == 0, what="The runner")
        yield
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.exhaustive
def test_piped_question_prints_plain_answer(run_command: RunCommand, environment: Environment) -> None:
    done = run_command("chat", said="/say **Bold** words\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "**Bold** words\n", "")
    assert list_runners(environment) == []


def test_piped_question_prints_final_text_only(run_command: RunCommand) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    done = run_command("chat", said=f"/draft {text}", CHATSITE_SCRIPTED_TOKENS_PER_SECOND="100")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{text}\n", "")


@pytest.mark.usefixtures("external_runner")
def test_chat_uses_running_runner(run_command: RunCommand, environment: Environment, tmp_path: Path) -> None:
    done = run_command("chat", said="/say Hello")
    assert (done.returncode, done.stdout) == (0, "Hello\n")
    assert not (tmp_path / "instance" / "runner.log").exists()
    assert len(list_runners(environment)) == 1


@pytest.mark.parametrize(
    ("said", "more", "sentence"),
    [
        ("/fail", {}, "The model could not answer."),
        ("", {}, "Write a message first."),
        ("x" * 20, {"CHATSITE_MAX_MESSAGE_CHARS": "10"}, "This message has 20 characters; the maximum is 10"),
    ],
)
def test_errors_are_printed_to_stderr(run_command: RunCommand, said: str, more: dict[str, str], sentence: str) -> None:
    done = run_command("chat", said=said, **more)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert sentence not in done.stdout


def test_invalid_setting_prints_one_message(run_command: RunCommand) -> None:
    done = run_command("chat", said="Hello", CHATSITE_TICK_MS="soon")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "CHATSITE_TICK_MS='soon' cannot be used: it must be a number.\n"


@pytest.mark.exhaustive
def test_unavailable_model_fails_chat_with_message(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    done = run_command("chat", said="Hello", CHATSITE_DEFAULT_MODEL=str(tmp_path / "hollow"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Cannot load the model: ")


def test_token_and_log_are_private_to_owner(run_command: RunCommand, tmp_path: Path) -> None:
    run_command("chat", said="/say Hello")
    for name in ("terminal_token", "runner.log"):
        assert stat.S_IMODE((tmp_path / "instance" / name).stat().st_mode) == 0o600


def test_interactive_conversation_works(
    start_session: Callable[..., TerminalSession], environment: Environment
) -> None:
    person = start_session("chat")
    person.wait_for_text("/help lists the commands")
    person.enter_line("//say The *first* answer")
    person.wait_for_text("The first answer")
    person.enter_line("/new")
    person.wait_for_text("New chat.")
    person.enter_line("//say The second answer")
    person.wait_for_text("The second answer")
    person.enter_line("/list")
    person.wait_for_text("1  /say The second answer")
    person.wait_for_text("2  /say The first answer")
    person.enter_line("/open 2")
    person.wait_for_text("> /say The *first* answer")
    person.wait_for_text("The first answer")
    person.enter_line("/open 9")
    person.wait_for_text("Choose a chat by its number")
    person.enter_line("/why")
    person.wait_for_text("> /say| The| *first*| answer")
    person.wait_for_text("scripted read 4 of 2000 tokens.")
    person.enter_line("/model")
    person.wait_for_text("Demo script")
    person.enter_line("/nonsense")
    person.wait_for_text("Unknown command /nonsense")
    assert len(list_runners(environment)) == 1
    person.press_ctrl_d()
    assert person.wait_for_exit() == 0
    assert list_runners(environment) == []


@pytest.mark.exhaustive
def test_interactive_chat_redraws_drafts(start_session: Callable[..., TerminalSession]) -> None:
    words = "One two three four five six seven eight nine ten eleven twelve thirteen"
    person = start_session("chat", CHATSITE_SCRIPTED_TOKENS_PER_SECOND="5")
    person.wait_for_text("/help lists the commands")
    person.enter_line(f"//draft {words}.")
    # A draft has its newest words the wrong way round; which one is seen first depends on the machine.
    person.wait_for_text(*(word[::-1] for word in words.split()))
    person.wait_for_text(f"{words}.")
    person.press_ctrl_d()
    assert person.wait_for_exit() == 0


@pytest.mark.exhaustive
def test_interactive_chat_changes_model_and_preset(
    start_session: Callable[..., TerminalSession], run_command: RunCommand, tmp_path: Path, environment: Environment
) -> None:
    assert run_command("migrate").returncode == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "instance" / "chatsite.db")) as database, database:
        columns = "name, download_state, is_loading, is_loaded, reported_at"
        database.execute(f"INSERT INTO model ({columns}) VALUES ('smollm2-135m-instruct', 'ready', 0, 0, '2026-01-01')")
    person = start_session("chat")
    person.wait_for_text("/help lists the commands")
    person.enter_line("/model")
    person.wait_for_text("○ smollm2-135m-instruct: A very small assistant")
    person.wait_for_text("● scripted: Shows the site without a model")
    person.wait_for_text("Demo script")
    person.enter_line("/model nobody")
    person.wait_for_text("nobody is not downloaded.")
    person.enter_line("/preset wild")
    person.wait_for_text("Unknown style.")
    person.enter_line("/model smollm2-135m-instruct")
    person.wait_for_text("Next answers: SmolLM2 135M Instruct, balanced.")
    person.enter_line("/preset creative")
    person.wait_for_text("Next answers: SmolLM2 135M Instruct, creative.")
    person.enter_line("/new")
    person.enter_line("/preset precise")
    person.wait_for_text("Next answers: Demo script, precise.")
    person.enter_line("//say The answer")
    person.wait_for_text("The answer")
    person.wait_for_text("The answer")
    person.enter_line("/model")
    person.wait_for_text("● scripted")
    person.enter_line("/preset creative")
    person.wait_for_text("Next answers: Demo script, creative.")
    person.press_ctrl_d()
    assert person.wait_for_exit() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "instance" / "chatsite.db")) as database:
        assert database.execute("SELECT model, preset FROM conversation").fetchall() == [("scripted", "creative")]
        assert database.execute("SELECT model, preset FROM generation").fetchall() == [("scripted", "precise")]
    assert list_runners(environment) == []


def test_ctrl_c_stops_answer_and_keeps_program_running(start_session: Callable[..., TerminalSession]) -> None:
    person = start_session("chat")
    person.wait_for_text("/help lists the commands")
    person.enter_line("half a line", end="")
    person.wait_for_text("half a line")
    person.type_text("\x03")
    person.enter_line("//long 3000")
    person.wait_for_text("word20")
    person.type_text("\x03")
    person.wait_for_text("Stopped.")
    person.enter_line("//say Still here")
    person.wait_for_text("Still here")
    person.wait_for_text("Still here")
    person.enter_line("/quit")
    assert person.wait_for_exit() == 0
    assert "word3000" not in person.output


@pytest.mark.exhaustive
def test_killed_chat_runner_is_replaced(
    start_session: Callable[..., TerminalSession], environment: Environment
) -> None:
    person = start_session("chat", CHATSITE_LEASE_SECONDS="1", CHATSITE_SCRIPTED_TOKENS_PER_SECOND="100")
    person.wait_for_text("/help lists the commands")
    person.enter_line("//long 150")
    person.wait_for_text("word20")
    list_runners(environment)[0].kill()
    person.wait_for_text("word150")
    person.press_ctrl_d()
    assert person.wait_for_exit() == 0


def test_terminal_escapes_in_answers_are_removed(capsys: pytest.CaptureFixture[str]) -> None:
    Output().show_answer([AnswerState("a\x1b]0;owned\x07b\x9b2Jc\n\nd\x1b[2J", Status.DONE)])
    printed = capsys.readouterr().out
    assert "a]0;ownedb2Jc" in printed
    assert not {"\x1b", "\x07", "\x9b"} & set(printed)


def test_reasoning_leaves_its_duration_alone(capsys: pytest.CaptureFixture[str], app: Flask) -> None:
    states = [
        AnswerState("", Status.GENERATING, reasoning="Two and two\x1b[2J"),
        AnswerState("Four", Status.GENERATING, reasoning="Two and two", reasoning_seconds=3.2),
        AnswerState("Four.", Status.DONE, reasoning="Two and two", reasoning_seconds=3.2),
    ]
    with app.app_context():
        Output().show_answer(states)
    printed = capsys.readouterr().out
    assert printed.count("Thought for 3 s") == 1
    assert printed.index("Thought for") < printed.index("Four.")
    assert "Two and two" not in printed
    assert "\x1b" not in printed


def test_reasoning_is_seen_in_the_terminal_while_it_is_written(start_session: Callable[..., TerminalSession]) -> None:
    person = start_session("chat")
    person.wait_for_text("/help lists the commands")
    person.enter_line("//think Two and two make four. => It is **four**.")
    person.wait_for_text("Thought for")
    person.wait_for_text("It is four.")
    person.enter_line("/quit")
    assert person.wait_for_exit() == 0


def test_direction_marks_in_answers_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\u202eb &#8238;c `&#x2066;d\u2066` [e](https://x.y/\u202e)\n\n```\nf\u202e &#8238;\n```\n"
    Output().show_answer([AnswerState(text, Status.DONE)])
    Output().print_info("g\u2069")
    printed = capsys.readouterr().out
    assert "a\ufffdb \ufffdc" in printed
    assert "g\ufffd" in printed
    assert not set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") & set(printed)


def test_piped_text_in_another_encoding_is_named(environment: Environment) -> None:
    for variables in ({}, {"LANG": "C", "LC_ALL": "C"}):
        done = subprocess.run(
            [*CHATSITE_COMMAND, "chat"],
            input=b"/say caf\xe9",
            env=environment | variables,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (1, b"This input is not valid UTF-8 text.\n")


def test_messages_are_translated_to_spanish(run_command: RunCommand) -> None:
    assert run_command("chat", said="", LANG="es_ES.UTF-8").stderr == "Escribe antes un mensaje.\n"


def test_prompt_report_shows_dropped_turns(capsys: pytest.CaptureFixture[str]) -> None:
    turns = (
        ReportedTurn("user", 900, is_kept=False, is_cut=False, text="Early\n\x1b[2Jquestion " * 20),
        ReportedTurn("assistant", 0, is_kept=False, is_cut=False),
        ReportedTurn(
            "assistant",
            4,
            is_kept=True,
            is_cut=False,
            text="Some older words",
            unsplit_text="Some",
            token_texts=(" older", " words"),
        ),
        ReportedTurn("user", 2, is_kept=True, is_cut=True, text="Too long", token_texts=(" lo", "ng")),
    )
    Output().print_prompt_report(PromptReport("tiny", "1", "chat", 128, 90, (), turns, {"seed": 7, "top_p": None}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Early [2Jquestion")
    assert len(lines[0]) < 70
    assert "above this line" in lines[1]
    assert lines[2:] == ["Some| older| words", "> … lo|ng", "tiny read 90 of 128 tokens.", "seed 7"]
    Output().print_prompt_report(None)
    assert "No prompt details were saved" in capsys.readouterr().out
