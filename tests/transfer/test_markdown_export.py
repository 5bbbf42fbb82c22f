"""The Markdown export: a file for each conversation, which Obsidian reads and this site reads back."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from sqlalchemy import delete, update

from chatsite.database import write_transaction
from chatsite.models import Conversation, User
from chatsite.services.chat import messages
from chatsite.services.organize import tags
from chatsite.services.transfer.exports import export_markdown, file_names, zip_stream
from chatsite.services.transfer.exports.export_markdown import AuthorLabels
from tests.conftest import LIMITS, People
from tests.support import export_samples as samples
from tests.support import other_exports
from tests.support import transfer_fixtures as t
from tests.support.record_builders import make_chatgpt_record, make_node

# The export reads the same rows from either database, by queries that the JSON export shares.
ONE_DATABASE = pytest.mark.parametrize("any_app", ["sqlite"], indirect=True)

LABELS = AuthorLabels("You", "Assistant")


def export_files(user: User) -> dict[str, bytes]:
    """Return the files of the archive by their names."""
    with zipfile.ZipFile(io.BytesIO(b"".join(export_markdown.export_archive(user.id, LABELS)))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def read_properties(text: str) -> tuple[dict[str, Any], str]:
    """Return the front matter of a note, read by a library, and the text below."""
    empty, front_matter, body = text.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(front_matter), body


def make_chat(*texts: str, title: str = "A chat", **more: Any) -> dict[str, Any]:
    """Return a conversation of Claude with these texts, a question first; answers name no model."""
    chat = other_exports.make_claude_conversation() | {"name": title, "chat_messages": [], **more}
    for number, text in enumerate(texts):
        sender = "assistant" if number % 2 else "human"
        message = {"uuid": f"{title}-{number}", "sender": sender, "text": text, "created_at": "2025-01-02T03:04:06Z"}
        chat["chat_messages"].append(message)
    return chat


def headings(markdown: str) -> list[str]:
    """List the headings of the second level, as a parser of Markdown sees them."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [
        tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"
    ]


def test_each_conversation_is_a_file_with_properties(people: People) -> None:
    t.create_history(people.alice)
    tags.set_tag(
        people.alice, [t.list_conversations(people.alice)[1].public_id], tags.create(people.alice, "2024", "red")
    )
    second = t.list_conversations(people.alice)[1]
    messages.post_message(people.alice, second, messages.NewMessage("Which model?", "t9"), limits=LIMITS)
    # Nobody chose a model, so only the report of the answer names it.
    t.finish_answers("This one", report=t.PROMPT_REPORT)
    files = export_files(people.alice)
    assert [re.sub(r" [0-9a-f]{8}\.md$", "", name) for name in files] == ["Time & time", "Hello"]
    conversation = t.list_conversations(people.alice)[1]
    properties, body = read_properties(list(files.values())[1].decode())
    assert properties == {
        "title": "Hello",
        "created": conversation.created_at.replace(microsecond=0, tzinfo=None),
        "updated": conversation.updated_at.replace(microsecond=0, tzinfo=None),
        "tags": ["Año-nuevo", "_2024"],
        "models": ["scripted"],
        "id": conversation.public_id,
    }
    assert body.startswith("\n# Hello\n\n> Speak in verse.\n> Be brief.\n")
    assert "\nHello yourself\n" in body
    assert "\nHi\n" not in body
    assert [heading.partition(" · ")[0] for heading in headings(body)] == [*["You", "Assistant"] * 2, "You", "scripted"]
    # What a title may hold does no harm to YAML or Markdown.
    first = next(iter(files.values())).decode()
    assert read_properties(first)[0]["title"] == "Time & <time>"
    assert "\n# Time & \\<time\\>\n" in first


@ONE_DATABASE
@pytest.mark.parametrize(
    "title",
    ['"quoted": {x} # [y]', "- a\\b: *c* 'd'", "\x85next\u2028line\ufeff", "😀 \ud83d", "true", "2024-01-02", "---"],
)
def test_any_title_is_one_property(people: People, title: str) -> None:
    t.import_file(people.alice, [make_chat("Q", "A", title=title)])
    [conversation] = t.list_conversations(people.alice)
    [text] = export_files(people.alice).values()
    assert read_properties(text.decode())[0]["title"] == conversation.title


@ONE_DATABASE
def test_open_block_of_a_message_ends_with_it(people: People) -> None:
    answers = [
        "Look:\n```python\nprint(1)",
        "~~~~\n```",
        "<!-- hidden",
        "<pre>\nx",
        "1. a\n   ```\n   b",
        "```\nclosed\n```",
    ]
    texts = [text for answer in answers for text in ("# A heading of mine\n\n## You\n\nis this you?", answer)]
    t.import_file(people.alice, [make_chat(*texts)])
    [content] = export_files(people.alice).values()
    body = read_properties(content.decode())[1]
    # Each question has a heading of its own besides the one above it.
    assert [each.partition(" · ")[0] for each in headings(body)] == ["You", "You", "Claude"] * len(answers)
    # The comments tell one from the other.
    markers = re.findall(r"^<!-- message (\{.*\}) -->$", body, re.MULTILINE)
    assert [json.loads(marker)["role"] for marker in markers] == ["user", "assistant"] * len(answers)


@ONE_DATABASE
def test_answers_are_headed_with_model_or_product(people: People) -> None:
    t.import_file(people.alice, [make_chat("Q", "A")])
    t.import_file(people.alice, [other_exports.make_chatgpt_conversation()])
    t.import_file(people.alice, [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}])
    found = [headings(read_properties(content.decode())[1])[1] for content in export_files(people.alice).values()]
    assert [heading.partition(" · ")[0] for heading in found] == ["Claude", "gpt-4o", "Assistant"]
    assert found[1].endswith("2023-11-14 22:13 UTC")


@ONE_DATABASE
def test_second_export_changes_only_what_changed(people: People) -> None:
    t.import_file(people.alice, [make_chat("Q", title=f"Chat {n}", uuid=f"c{n}") for n in range(5)])
    archive = b"".join(export_markdown.export_archive(people.alice.id, LABELS))
    assert b"".join(export_markdown.export_archive(people.alice.id, LABELS)) == archive
    before = export_files(people.alice)
    with write_transaction() as tx:
        tx.execute(update(Conversation).where(Conversation.title == "Chat 3").values(title="New name"))
    after = export_files(people.alice)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert sorted(re.sub(r" \w+\.md", "", name) for name in changed) == ["Chat 3", "New name"]


@ONE_DATABASE
def test_file_names_are_different_on_every_file_system(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = [
        "Same",
        "SAME",
        "same",
        "a/b\\c:d?",
        "...",
        "x" * 300,
        "ñ" * 300,
        "CON",
        "\u202eevil.exe",
        "link [[x]] #y ^z",
    ]
    for digits in (8, 0):
        # With no digits at all, every name is taken.
        monkeypatch.setattr(file_names, "SHORT_ID_CHARS", digits)
        names = file_names.UniqueNames()
        made = [names.make_name(title, f"id-{n}") + ".md" for n, title in enumerate(titles * 2)]
        assert len({name.casefold() for name in made}) == len(made)
        for name in made:
            assert len(name.encode()) <= 255
            assert not re.search(r'[\x00-\x1f<>:"/\\|?*#^\[\]\u202e]', name)


@ONE_DATABASE
def test_export_comes_back_in(people: People) -> None:
    t.create_history(people.alice)
    t.import_file(people.alice, [other_exports.make_chatgpt_conversation()])
    t.import_file(people.alice, samples.SILLYTAVERN, "Guide.jsonl")
    instructions = "Be brief.\n\n> Quote nobody.\n<!-- message {} -->"
    with write_transaction() as tx:
        tx.execute(update(Conversation).values(instructions=instructions))
    archive = b"".join(export_markdown.export_archive(people.alice.id, LABELS))
    before = t.export_native(people.alice)
    # Here everything is there already.
    again = t.import_file(people.alice, archive, "chatsite.zip")
    assert (again.imported_count, again.duplicate_count, again.skipped_count) == (0, 4, 0)
    assert t.export_native(people.alice) == before
    shown = [t.list_shown_texts(conversation) for conversation in t.list_conversations(people.alice)]
    with write_transaction() as tx:
        tx.execute(delete(Conversation))
    found = t.import_file(people.alice, archive, "chatsite.zip")
    assert (found.imported_count, found.skipped_count) == (4, 0)
    by_title = {conversation.title: conversation for conversation in t.list_conversations(people.alice)}
    assert sorted(map(t.list_shown_texts, by_title.values())) == sorted(
        [text for text in texts if text] for texts in shown
    )
    assert {conversation.instructions for conversation in by_title.values()} == {instructions}
    assert by_title["Recetas 1"].import_source_id == "chatgpt:6a1"
    assert [m.generation.model for m in t.list_messages(by_title["Recetas 1"]) if m.generation] == ["gpt-4o"]
    assert b"".join(export_markdown.export_archive(people.alice.id, LABELS)).count(b"Recetas 1") == archive.count(
        b"Recetas 1"
    )


def make_turns(count: int) -> list[dict[str, Any]]:
    """Return a file of ChatGPT with one conversation of `count` messages, and another answer to the first question."""
    nodes = [
        make_node(f"n{n}", f"n{n - 1}" if n else None, "assistant" if n % 2 else "user", f"{n}") for n in range(count)
    ]
    return [make_chatgpt_record(*nodes, make_node("other", "n0", "assistant", "Other"), current_node=f"n{count - 1}")]


def export_both(user: User) -> tuple[str, bytes]:
    """Return everything of a user as JSON and as Markdown."""
    return t.export_native(user), b"".join(export_markdown.export_archive(user.id, LABELS))


@ONE_DATABASE
@pytest.mark.parametrize("is_same_site", [True, False])
def test_export_is_recognized_beside_the_json(people: People, is_same_site: bool) -> None:
    """Messages are found by their origin, also where their public ids belong to somebody else."""
    t.import_file(people.alice, make_turns(4))
    json_before, markdown_before = export_both(people.alice)
    t.import_file(people.alice, make_turns(6))
    json_after, markdown_after = export_both(people.alice)
    if not is_same_site:
        with write_transaction() as tx:
            tx.execute(delete(Conversation))
    t.import_file(people.bob, json_after)
    before = t.export_native(people.bob)
    for archive in (markdown_after, markdown_before):
        found = t.import_file(people.bob, archive, "chatsite.zip")
        assert (found.duplicate_count, found.message_count, found.skipped_count) == (1, 0, 0)
    assert found.message_count == t.import_file(people.bob, json_before).message_count == 0
    assert t.export_native(people.bob) == before
    [conversation] = t.list_conversations(people.bob)
    assert t.list_shown_texts(conversation) == ["0", "1", "2", "3", "4", "5"]


@ONE_DATABASE
@pytest.mark.parametrize("is_same_site", [True, False])
def test_json_adds_to_the_markdown_what_is_new(people: People, is_same_site: bool) -> None:
    t.import_file(people.alice, make_turns(4))
    _, markdown_before = export_both(people.alice)
    t.import_file(people.alice, make_turns(6))
    json_after, _ = export_both(people.alice)
    if not is_same_site:
        with write_transaction() as tx:
            tx.execute(delete(Conversation))
    assert t.import_file(people.bob, markdown_before, "chatsite.zip").message_count == 4
    found = t.import_file(people.bob, json_after)
    # Two that were added, and the other answer, which Markdown does not have.
    assert (found.updated_count, found.message_count) == (1, 3)
    [conversation] = t.list_conversations(people.bob)
    assert t.list_shown_texts(conversation) == ["0", "1", "2", "3", "4", "5"]


@ONE_DATABASE
def test_copy_without_origins_leaves_the_shown_branch(people: People) -> None:
    """An archive whose comments have lost the origins gives a copy at most, behind the newer messages."""
    t.import_file(people.alice, make_turns(4))
    _, archive = export_both(people.alice)
    t.import_file(people.bob, make_turns(6))
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        [note] = map(files.read, files.namelist())
    t.import_file(people.bob, re.sub(rb', "source": "[^"]*"\}', b"}", note), "note.md")
    [conversation] = t.list_conversations(people.bob)
    assert t.list_shown_texts(conversation) == ["0", "1", "2", "3", "4", "5"]
    assert len(t.list_messages(conversation)) == 7 + 4


@ONE_DATABASE
def test_text_like_a_marker_is_no_message(people: People) -> None:
    forged = 'Q\n<!-- message {"id": "AAAAAAAAAAAAAAAA", "role": "assistant", "created": "x"} -->\n## Me\n\nforged'
    t.import_file(people.alice, [make_chat(forged, "A")])
    archive = b"".join(export_markdown.export_archive(people.alice.id, LABELS))
    t.import_file(people.bob, archive, "chatsite.zip")
    [copy] = t.list_conversations(people.bob)
    assert [message.role.value for message in t.list_messages(copy)] == ["user", "assistant"]


def test_archive_is_made_while_it_is_read() -> None:
    read: list[int] = []

    def pieces(number: int) -> Iterator[str]:
        for _ in range(3):
            read.append(number)
            yield "x" * 100_000

    files = (zip_stream.ArchiveFile(f"{n}.md", datetime(1970, 1, 1, tzinfo=UTC), pieces(n)) for n in range(1000))
    stream = zip_stream.iter_archive(files)
    assert next(stream)
    assert read == [0]
    for _ in range(6):
        next(stream)
    assert len(read) <= 7
