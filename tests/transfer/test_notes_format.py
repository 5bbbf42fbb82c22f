"""Markdown notes are conversations if their headings say who wrote what."""

from __future__ import annotations

import time

import pytest

from chatsite.errors import NotesWithoutRolesError
from chatsite.services.transfer.content import front_matter
from chatsite.services.transfer.formats import markdown_notes
from chatsite.services.transfer.message_ordering import ImportedConversation
from tests.support import export_samples as samples
from tests.support.file_reading import read_file, read_one, shown
from tests.support.record_builders import list_omitted


def test_notes_with_role_headings_are_conversations() -> None:
    talk = read_one(samples.NOTE, "notes/Any name.md")
    assert (talk.title, talk.tags, str(talk.created_at)) == (
        "A note",
        ["home", "two words"],
        "2026-01-02 03:04:05+00:00",
    )
    question, answer = shown(talk)
    assert question == ("user", "What is this?\n\n```markdown\n## Assistant\n```")
    assert answer == ("assistant", "An example.\n\n### You\n\nNo label: its level is another one.")
    bold = read_one(samples.BOLD_NOTE, "Bold.md")
    assert (bold.title, shown(bold)) == ("Bold", [("user", "Hello"), ("assistant", "Hi **User**, how are you?")])


def test_folder_of_notes_is_read_and_other_notes_are_counted_once() -> None:
    files = {f"vault/{n}.md": b"# Shopping\n\n- milk" for n in range(300)}
    archive = samples.zip_files({**files, "vault/.obsidian/app.json": {}, "vault/A.md": samples.BOLD_NOTE})
    talk, others = read_file(archive, "vault.zip")
    assert isinstance(talk, ImportedConversation)
    assert others == NotesWithoutRolesError(count=300)
    with pytest.raises(NotesWithoutRolesError):
        read_file(samples.zip_files(files), "vault.zip")


def test_lists_of_properties_take_quotes_as_they_are() -> None:
    note = b"---\ntags: [it's, \"a, b\", 'c''s' , two words, \"open]\n---\n## User\n\nQ\n\n## Assistant\n\nA\n"
    assert read_one(note, "x.md").tags == ["it's", "a, b", "c's", "two words", '"open']
    # An end that never comes is looked for once.
    started = time.process_time()
    for quotes in ('"' + '\\"' * 9000, "'" * 17_999, "\"'" * 9000):
        lines = [f"tags: [{quotes}]"] * 40
        front_matter.split("\n".join(["---", *lines, "---"]))
    assert time.process_time() - started < 5


def test_messages_beyond_those_that_a_note_may_have_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown_notes, "MAX_MESSAGES", 3)
    note = b"## User\n\nQ\n\n## Assistant\n\nA\n\n"
    assert list_omitted(read_one(note, "x.md")) == {}
    talk = read_one(note * 3, "x.md")
    assert (len(shown(talk)), list_omitted(talk)) == (3, {"message": 3})
