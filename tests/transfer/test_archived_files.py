"""Pictures and files in archives: named in the messages where they belong, and in the report if they belong to none."""

from __future__ import annotations

from typing import Any

import pytest

from chatsite.errors import ChatsiteError, FilesWithoutMessageError
from chatsite.models import ImportOutcome
from chatsite.services.transfer.files.archived_files import ArchivedFiles, parse_names
from chatsite.services.transfer.message_ordering import ImportedConversation
from chatsite.services.transfer.records import Record
from tests.conftest import People
from tests.support import export_samples as samples
from tests.support import transfer_fixtures as t
from tests.support.file_reading import read_file
from tests.support.record_builders import list_omitted, list_texts, make_chatgpt_record, make_claude_record, make_node


def image_part(asset_id: str, scheme: str = "sediment") -> dict[str, Any]:
    return {"content_type": "image_asset_pointer", "asset_pointer": f"{scheme}://{asset_id}"}


def make_chat(*parts: Any, **metadata: Any) -> list[dict[str, Any]]:
    question = make_node("a", None, "user", *parts, metadata=metadata)
    return [make_chatgpt_record(question, make_node("b", "a", "assistant", "Nice."))]


def read_archive(files: dict[str, Any]) -> tuple[list[ImportedConversation], list[ChatsiteError]]:
    found = read_file(samples.zip_files(files), "export.zip")
    return (
        [each for each in found if isinstance(each, ImportedConversation)],
        [each for each in found if isinstance(each, ChatsiteError)],
    )


@pytest.mark.parametrize(
    ("path", "names", "shown"),
    [
        ("file-AbC123XyZ-garden.jpeg", {}, "garden.jpeg"),
        ("deep/file-AbC123XyZ-a-b (1).png", {}, "a-b (1).png"),
        ("file-AbC123XyZ.dat", {"file-AbC123XyZ.dat": "The garden.jpeg"}, "The garden.jpeg"),
        ("file-AbC123XyZ", {"file-AbC123XyZ": "The garden.jpeg"}, "The garden.jpeg"),
        ("file-AbC123XyZ.png", {}, "file-AbC123XyZ.png"),
    ],
)
def test_chatgpt_picture_gets_the_name_in_the_archive(path: str, names: dict[str, str], shown: str) -> None:
    chat = make_chat(image_part("file-AbC123XyZ", "file-service"), "What is it?")
    files = {"conversations.json": chat, path: b"x", "conversation_asset_file_names.json": names}
    [talk], reasons = read_archive(files)
    assert list_texts(talk) == [f"[image: {shown}]\n\nWhat is it?", "Nice."]
    assert list_omitted(talk) == {"image": 1}
    assert reasons == []


def test_name_in_the_conversation_comes_first() -> None:
    attachments = [{"id": "file_00000001", "name": "mine.png", "mime_type": "image/png"}]
    chat = make_chat(image_part("file_00000001#file_00000001#p_0.png"), "Look", attachments=attachments)
    [talk], reasons = read_archive({"conversations.json": chat, "file_00000001-sanitized.png": b"x"})
    assert list_texts(talk)[0] == "[image: mine.png]\n\nLook"
    assert reasons == []


def test_attachment_without_name_and_recordings_are_named() -> None:
    sound = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_00000002"}
    chat = make_chat("Hear", sound, attachments=[{"id": "file-Pdf123456"}])
    files = {"conversations.json": chat, "file-Pdf123456-sums.pdf": b"x", "c1/audio/file_00000002-hello.wav": b"x"}
    [talk], reasons = read_archive(files)
    assert list_texts(talk)[0] == "Hear\n\n[audio: hello.wav]\n\n[sums.pdf]"
    assert reasons == []


def test_picture_that_a_tool_made_is_named() -> None:
    question = make_node("a", None, "user", "Draw a fox")
    made = make_node("b", "a", "tool", image_part("file-Made12345"))
    files = {"conversations.json": [make_chatgpt_record(question, made)]}
    [talk], _ = read_archive({**files, "dalle-generations/file-Made12345-fox.webp": b"x"})
    assert list_texts(talk) == ["Draw a fox", "[image: fox.webp]"]


def test_claude_files_are_named_by_their_ids() -> None:
    files = [{"file_uuid": "0b1c"}, {"file_name": "b.pdf"}]
    record = make_claude_record({"text": "Q", "files": files})
    archive = {"conversations.json": [record], "files/0b1c.png": b"x", "files/b.pdf": b"x", "files/c.pdf": b"x"}
    [talk], reasons = read_archive(archive)
    assert list_texts(talk)[0] == "Q\n\n[image: 0b1c.png]\n\n[b.pdf]"
    assert reasons == [FilesWithoutMessageError(count=1, names="c.pdf")]


def test_gemini_files_beside_the_activity_belong_to_their_prompt() -> None:
    activity = {
        "header": "Gemini Apps",
        "title": "Prompted What is this?",
        "time": "2026-01-02T03:04:05.000Z",
        "products": ["Gemini Apps"],
        "attachedFiles": ["sketch-1a2b.png"],
        "safeHtmlItem": [{"html": "<p>A fox.</p>"}],
    }
    folder = "Takeout/My Activity/Gemini Apps"
    archive = {
        f"{folder}/MyActivity.json": [activity],
        f"{folder}/sketch-1a2b.png": b"x",
        f"{folder}/other.pdf": b"x",
        "__MACOSX/._other.pdf": b"x",
        f"{folder}/.DS_Store": b"x",
    }
    [talk], reasons = read_archive(archive)
    assert list_texts(talk)[0] == "What is this?\n\n[image: sketch-1a2b.png]"
    assert reasons == [FilesWithoutMessageError(count=1, names="other.pdf")]


def test_open_webui_files_in_a_zip_belong_to_their_message() -> None:
    message = {"id": "1", "role": "user", "content": "Q", "files": [{"id": "f1", "type": "file"}]}
    chat = {"id": "c", "chat": {"history": {"messages": {"1": message}, "currentId": "1"}}}
    [talk], reasons = read_archive({"chats.json": [chat], "uploads/f1.pdf": b"x"})
    assert list_texts(talk) == ["Q\n\n[f1.pdf]"]
    assert reasons == []


def test_grok_files_are_known_by_their_folders() -> None:
    response = {"_id": "1", "message": "Look", "sender": "human", "file_attachments": ["0b1c-2d3e"]}
    backend = {"conversations": [{"conversation": {"id": "g"}, "responses": [{"response": response}]}]}
    assets = {f"prod-mc-asset-server/{each}/content": b"x" for each in ("0b1c-2d3e", "9f8e-7d6c")}
    [talk], reasons = read_archive({"prod-grok-backend.json": backend, **assets})
    assert list_texts(talk) == ["Look\n\n[file]"]
    assert reasons == [FilesWithoutMessageError(count=1, names="9f8e-7d6c")]


def test_pictures_of_notes_stand_in_their_links() -> None:
    note = "## User\n\nLook ![[fox one.png]] ![x](files/two%20foxes.png)\n\n## Assistant\n\nNice.\n"
    archive = {"note.md": note.encode(), "files/fox one.png": b"", "files/two foxes.png": b"", "three.png": b""}
    [talk], reasons = read_archive(archive)
    assert "fox one.png" in list_texts(talk)[0]
    assert reasons == [FilesWithoutMessageError(count=1, names="three.png")]


def test_only_some_of_many_files_are_named() -> None:
    archive = {"conversations.json": make_chat("Hello"), **{f"{number:03}.png": b"x" for number in range(50)}}
    [error] = read_archive(archive)[1]
    assert isinstance(error, FilesWithoutMessageError)
    assert error.params["count"] == 50
    assert str(error.params["names"]).startswith("000.png, 001.png")
    assert str(error.params["names"]).endswith("019.png, …")


def test_files_of_an_archive_in_an_archive_belong_to_it() -> None:
    inner = {"conversations.json": make_chat(image_part("file-AbC123XyZ"), "Look"), "file-AbC123XyZ-a.png": b"x"}
    [talk], reasons = read_archive({"conversations-1.zip": samples.zip_files(inner), "b.png": b"x"})
    assert list_texts(talk)[0] == "[image: a.png]\n\nLook"
    assert reasons == []


def test_two_files_of_one_name_are_both_known() -> None:
    chat = make_chat("Look", attachments=[{"id": "x", "name": "a.png"}])
    _, reasons = read_archive({"conversations.json": chat, "one/a.png": b"x", "two/a.png": b"x"})
    assert reasons == []


def test_report_says_which_files_belong_to_no_message(people: People) -> None:
    archive = samples.zip_files({"conversations.json": make_chat("Hello"), "lost.png": b"x"})
    for _ in range(2):
        job = t.import_file(people.alice, archive, "export.zip")
        outcomes = t.list_outcomes(job)
        assert outcomes[-1] == (
            "Pictures and files",
            ImportOutcome.SKIPPED,
            FilesWithoutMessageError(count=1, names="lost.png"),
        )
        assert job.error is None


def test_list_of_names_that_cannot_be_read_does_no_harm() -> None:
    for damaged in (b"{", b"[1]", b'{"a": 1}', b"[" * 100_000, b"\xff"):
        assert parse_names(damaged) == {}


def test_deep_record_is_looked_through() -> None:
    deep: dict[str, Any] = {"asset_pointer": "sediment://file-AbC123XyZ"}
    found = deep
    for _ in range(50_000):
        deep = {"x": [deep]}
    files = ArchivedFiles(["file-AbC123XyZ-a.png"])
    files.name_files_of(Record("", deep, 0))
    assert found["name"] == "a.png"
    assert files.list_unused() == []
