"""Archives: every readable file of them is read, within limits, and what cannot be read is named once."""

from __future__ import annotations

import io
import zipfile

import pytest

from chatsite.errors import (
    ArchiveBombError,
    ArchiveDamagedError,
    ArchiveTooDeepError,
    ChatsiteError,
    FilesWithoutMessageError,
    NotesWithoutRolesError,
    PartsWithoutConversationsError,
    UnknownFormatError,
)
from chatsite.services.transfer.message_ordering import ImportedConversation
from tests.support import export_samples as samples
from tests.support import other_exports
from tests.support.file_reading import read_file


def test_archives_in_an_archive_are_opened_once() -> None:
    conversations = samples.zip_files({"conversations-000.json": [other_exports.make_chatgpt_conversation()]})
    portal = {
        "User Online Activity/Conversations__hash-0001.zip": conversations,
        "User Online Activity/Files__hash-0002.zip": samples.zip_files({"a.json": [{"x": 1}]}),
        "report.html": b"<html>Report</html>",
    }
    talk, other, page = read_file(samples.zip_files(portal), "portal.zip")
    assert isinstance(talk, ImportedConversation)
    assert other == UnknownFormatError()
    assert page == PartsWithoutConversationsError(count=1, names="report.html")
    # Several exports in one archive.
    claude = samples.zip_files({"conversations.json": [other_exports.make_claude_conversation()]})
    both = read_file(
        samples.zip_files({"1.zip": conversations, "2.zip": claude, "3.zip": b"PK\x03\x04 damaged"}), "x.zip"
    )
    assert [each.title for each in both[:2] if isinstance(each, ImportedConversation)] == ["Recetas 1", "Poems 1"]
    assert [each.code for each in both[2:] if isinstance(each, ChatsiteError)] == ["archive_damaged"]
    with pytest.raises(ArchiveTooDeepError):
        read_file(samples.zip_files({"a.zip": samples.zip_files({"b.zip": conversations})}), "x.zip")


def test_nested_archives_share_their_limits() -> None:
    bomb = samples.zip_files({"conversations.json": b"0" * 30_000_000})
    with pytest.raises(ArchiveBombError):
        read_file(samples.zip_files({"a.zip": bomb}), "x.zip")
    # Each of them stays below the limit.
    large = io.BytesIO()
    with zipfile.ZipFile(large, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("conversations.json", b"[" + b" " * 900_000 + b"]")
    with pytest.raises(ArchiveBombError):
        read_file(samples.zip_files({f"{n}.zip": large.getvalue() for n in range(4)}), "x.zip", 3_000_000)


def test_files_beside_conversations_are_passed_over() -> None:
    archive = samples.zip_files(
        {
            "export\\user.json": {"id": "u", "email": "e", "chatgpt_plus_user": True},
            "export\\library_files.json": [{"x": 1}],
            "export\\chat.html": b"<html>ChatGPT",
            "export\\conversations.json": [other_exports.make_chatgpt_conversation()],
        }
    )
    talk, others = read_file(archive, "windows.zip")
    assert isinstance(talk, ImportedConversation)
    assert talk.title == "Recetas 1"
    assert others == PartsWithoutConversationsError(count=2, names="library_files.json, user.json")
    archive = samples.zip_files(
        {
            "users.json": [{"uuid": "u", "full_name": "N", "email_address": "e"}],
            "chats/a.json": [other_exports.make_claude_conversation()],
            "chats/odd.json": [{"x": 1}],
        }
    )
    talk, odd, others = read_file(archive, "claude.zip")
    assert isinstance(talk, ImportedConversation)
    assert odd == UnknownFormatError()
    assert others == PartsWithoutConversationsError(count=1, names="users.json")


def test_every_readable_file_of_a_mixed_archive_is_read() -> None:
    """Not only the files of one kind: those with conversations come first, and what is not read is named once."""
    chatgpt = [other_exports.make_chatgpt_conversation()]
    inner = samples.zip_files({"deep/chat.json": samples.nested_librechat(3), "note.md": samples.BOLD_NOTE})
    files = {
        "a/chat.md": samples.NOTE,
        "b.zip": inner,
        "chat.txt": samples.BOLD_NOTE,
        "conversations-x.zip": samples.zip_files({"conversations.json": [other_exports.make_claude_conversation()]}),
        "data/conversations.json": chatgpt,
        "lines.jsonl": samples.to_lines(*samples.OPENAI_MESSAGES),
        "memories.json": [{"conversations_memory": "x"}],
        "odd.json": [{"x": 1}],
        "page.html": b"<html>ChatGPT",
        "photo.png": b"x",
        "shopping list.txt": b"milk",
    }
    found = read_file(samples.zip_files(files), "mixed.zip")
    titles = [each.title for each in found if isinstance(each, ImportedConversation)]
    assert titles == ["Recetas 1", "Poems 1", "note", "Soup", "chat", "lines", "A note"]
    reasons = [each for each in found if isinstance(each, ChatsiteError)]
    beside = FilesWithoutMessageError(count=1, names="photo.png")
    others = PartsWithoutConversationsError(count=1, names="memories.json")
    assert reasons == [UnknownFormatError(), NotesWithoutRolesError(count=1), others, beside]


def test_damaged_file_of_an_archive_leaves_the_others_readable() -> None:
    """One whose header is damaged, one whose bytes are, and an archive that is none."""
    files = {"conversations.json": [other_exports.make_chatgpt_conversation()], "chat.md": samples.BOLD_NOTE}
    content = samples.zip_files({**files, "x.zip": samples.zip_files(files), "y.zip": b"none", "z.json": [{"x": 1}]})
    header = content.index(b"PK\x03\x04", content.index(b"x.zip") - 40) + 30
    assert content[header : header + 5] == b"x.zip"
    found = read_file(content[:header] + b"w" + content[header + 1 :], "x.zip")
    assert [each.title for each in found if isinstance(each, ImportedConversation)] == ["Recetas 1", "chat"]
    reasons = [each for each in found if isinstance(each, ChatsiteError)]
    assert reasons == [ArchiveDamagedError(), ArchiveDamagedError(), UnknownFormatError()]
