"""`chatsite export` and `chatsite import`: the terminal's conversations go out and come back."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest

from chatsite.cli import transfer
from chatsite.cli.language import localized_message
from chatsite.errors import ChatsiteError
from tests.cli.conftest import RunCommand
from tests.support import export_samples, other_exports


def test_conversations_are_imported_and_exported(run_command: RunCommand, tmp_path: Path) -> None:
    source, notes = tmp_path / "conversations.json", tmp_path / "chats.zip"
    source.write_text(json.dumps([other_exports.make_claude_conversation(), {"title": "Odd \x1b[31m"}]))
    done = run_command("import", str(source))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("conversations.json: 1 imported, ")
    assert "Odd" in done.stderr
    assert "\x1b" not in done.stderr
    assert run_command("export", str(notes)).returncode == 0
    assert stat.S_IMODE(notes.stat().st_mode) == 0o600
    with zipfile.ZipFile(notes) as archive:
        assert b"Lovely." in archive.read(archive.namelist()[0])
    (tmp_path / "chat.html").write_text("<html>ChatGPT Data Export")
    files = (tmp_path / "missing.json", notes, tmp_path / "chat.html")
    again = run_command("import", *map(str, files), LANG="es_ES.UTF-8")
    assert again.returncode == 1
    assert again.stdout.startswith("chats.zip: 0 ")
    assert "Elige conversations.json" in again.stderr
    assert "missing.json: El archivo o la carpeta no existe." in again.stderr


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty instance, which the commands use inside of the process of the tests."""
    for name, value in {"INSTANCE": str(tmp_path / "instance"), "DEFAULT_MODEL": "scripted"}.items():
        monkeypatch.setenv(f"CHATSITE_{name}", value)
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    return tmp_path


def test_every_file_is_tried_and_the_terminal_says_what_was_left_out(
    instance: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = instance / "conversations.json"
    good.write_text(json.dumps([other_exports.make_claude_conversation(number) for number in (1, 2)]))
    (instance / "empty").mkdir()
    assert transfer.import_files([instance / "missing.json", instance / "empty", good]) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"{instance}/missing.json: There is no such file or folder.",
        "empty: No chats were found in this file.",
    ]
    assert printed.out.splitlines() == [
        "conversations.json: 2 imported, 0 with new messages, 0 already there, 0 skipped",
        "  Media and files cannot be imported yet and are only mentioned in the text: 2 images.",
    ]
    monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    with pytest.raises(ChatsiteError) as refused:
        transfer.export_to_file(instance / "chats.txt")
    assert localized_message(refused.value) == "El nombre del archivo debe terminar en .json o .zip."
    with pytest.raises(ChatsiteError) as failed:
        transfer.export_to_file(instance / "nowhere" / "chats.json")
    assert localized_message(failed.value).endswith("/chats.json: El archivo o la carpeta no existe.")
    assert sorted(path.name for path in instance.iterdir()) == ["conversations.json", "empty", "instance"]


def test_folders_are_imported_without_links_and_hidden_files(
    instance: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = instance / "vault"
    (vault / "2024" / ".trash").mkdir(parents=True)
    for path in ("Soup.md", "2024/Bread.md", "2024/.trash/Gone.md", "2024/photo.png"):
        (vault / path).write_bytes(export_samples.NOTE + path.encode())
    (instance / "outside.md").write_bytes(export_samples.NOTE)
    (vault / "link.md").symlink_to(instance / "outside.md")
    (vault / "loop").symlink_to(vault, target_is_directory=True)
    assert transfer.import_files([vault]) == 0
    assert capsys.readouterr().out.startswith("vault: 2 imported, 0 with new messages, 0 already there, 0 skipped\n")
    monkeypatch.setenv("CHATSITE_MAX_IMPORT_MB", "1")
    (vault / "Long.txt").write_bytes(b"x" * 1_000_001)
    assert transfer.import_files([vault]) == 1
    assert capsys.readouterr().err == "vault: You can import up to 1 MB at a time. Nothing was saved.\n"


@pytest.mark.exhaustive
def test_export_as_json_replaces_the_file(run_command: RunCommand, tmp_path: Path) -> None:
    backup = tmp_path / "chats.json"
    nothing = run_command("export", str(backup))
    assert (nothing.returncode, nothing.stderr) == (1, "No chats yet.\n")
    backup.write_text("old")
    (tmp_path / "c.json").write_text(json.dumps([other_exports.make_claude_conversation()]))
    assert run_command("import", str(tmp_path / "c.json")).returncode == 0
    assert run_command("export", str(backup)).returncode == 0
    assert json.loads(backup.read_text())["conversations"][0]["title"] == "Poems 1"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
