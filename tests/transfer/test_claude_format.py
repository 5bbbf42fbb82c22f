"""Conversations of Claude as a person sees them there: artifacts, sources, files and branches."""

from __future__ import annotations

from typing import Any

from tests.support.record_builders import list_omitted, list_texts, make_claude_record, parse

UNSUPPORTED = "```\nThis block is not supported on your current device yet.\n```"


def text(value: str, **block: Any) -> dict[str, Any]:
    """Return a block of text."""
    return {"type": "text", "text": value, **block}


def artifact(command: str, **values: Any) -> dict[str, Any]:
    """Return a block that creates or changes an artifact."""
    return {"type": "tool_use", "name": "artifacts", "input": {"id": "page", "command": command, **values}}


QUESTION = {"content": [text("Make a page.")]}


def test_branch_of_a_current_message_without_text_is_shown() -> None:
    found = parse(
        make_claude_record(
            {"content": [text("Start")]},
            {"content": [text("One")]},
            {"content": [text("Kept")], "parent_message_uuid": "m1"},
            {"parent_message_uuid": "m2"},
            {"content": [text("Left")], "parent_message_uuid": "m1"},
            current_leaf_message_uuid="m3",
        )
    )
    assert list_texts(found) == ["Start", "One", "Kept"]


def test_artifacts_are_code_under_their_title() -> None:
    page = {"type": "text/html", "title": "Small page", "content": "<h1>Hi</h1>"}
    found = parse(
        make_claude_record(
            {"content": [text("Make a page."), {"type": "image", "source": {}}]},
            {"text": UNSUPPORTED, "content": [{"type": "thinking", "thinking": "Hm"}, artifact("create", **page)]},
            {"content": [text("Larger.")]},
            {
                "content": [
                    text("I change it."),
                    artifact("update", old_str="Hi", new_str="Hi!"),
                    artifact("update", old_str="!</h1>", new_str="!</h1>\n<p>```</p>"),
                    {"type": "tool_result", "content": [text("OK")]},
                    text("Done."),
                ]
            },
            {"content": [text("New.")]},
            {"content": [artifact("rewrite", content="<h1>Ho</h1>")]},
        )
    )
    title = "**Small page**\n\n"
    assert list_texts(found) == [
        "Make a page.\n\n[image]",
        f"{title}```html\n<h1>Hi</h1>\n```",
        "Larger.",
        f"I change it.\n\n{title}````html\n<h1>Hi!</h1>\n<p>```</p>\n````\n\nDone.",
        "New.",
        f"{title}```html\n<h1>Ho</h1>\n```",
    ]
    assert list_omitted(found) == {"image": 1}


def test_files_that_the_newer_tools_write_are_documents() -> None:
    path = {"path": "/mnt/user-data/outputs/sum.py"}
    blocks = [
        {"type": "tool_use", "name": "create_file", "input": {**path, "file_text": "a = 1"}},
        {"type": "tool_use", "name": "str_replace", "input": {**path, "old_str": "1", "new_str": "2"}},
        {"type": "tool_use", "name": "create_file", "input": {"path": "/tmp/x.py", "file_text": "x"}},
    ]
    found = parse(make_claude_record(QUESTION, {"content": blocks}))
    assert list_texts(found)[1] == "**sum.py**\n\n```py\na = 2\n```"
    assert list_omitted(found) == {"tool_call": 1}


def test_tags_of_old_exports_are_replaced() -> None:
    old = (
        "<antThinking>Guess.</antThinking>Sun.\n\n"
        '<antArtifact identifier="s" type="text/markdown" title="Sun &amp; rain">\n# Sun\n</antArtifact>'
        "\n\nThat is it. "
        '<antArtifact type="application/vnd.ant.code" language="python">\nprint('
    )
    found = parse(make_claude_record(QUESTION, {"content": [text(old)]}, {"content": [text("<antThinking> is a tag")]}))
    first, last = list_texts(found)[1:]
    assert first.replace("\n\n\n\n", "\n\n") == (
        "Sun.\n\n**Sun & rain**\n\n```markdown\n# Sun\n```\n\nThat is it. \n\n```python\nprint(\n```"
    )
    # What somebody wrote about the tag is kept.
    assert last == "<antThinking> is a tag"
    assert list_omitted(found) == {"thoughts": 1}


def test_sentence_about_devices_never_comes_in() -> None:
    call = {"type": "tool_use", "name": "web_search", "input": {}}
    found = parse(make_claude_record(QUESTION, {"content": [call], "text": f"I look.\n\n{UNSUPPORTED}\n\nIt rains."}))
    assert list_texts(found)[1] == "I look.\n\n\n\nIt rains."
    assert parse(make_claude_record({"text": "Q", "content": []}, {"text": UNSUPPORTED})).messages[-1].text == "Q"


def test_sources_are_linked() -> None:
    source = {"type": "web_search_citation", "url": "https://example.org/ulm"}
    cited = text("It rains.", citations=[{"details": source}, {"details": source}, {"details": {"url": "ftp://x"}}])
    found = parse(make_claude_record(QUESTION, {"content": [text("I look."), cited]}))
    assert list_texts(found)[1] == "I look.\n\nIt rains. ([example.org](https://example.org/ulm))"


def test_unknown_blocks_and_files_are_counted() -> None:
    files = [{"file_name": "a.png"}, {"file_name": "b.pdf"}]
    attached = [{"file_name": "c.txt", "extracted_content": "milk"}]
    question = {"content": [text("Q"), {"type": "hologram"}], "files": files, "attachments": attached}
    found = parse(
        make_claude_record(question, {"content": [text("A"), {"type": "token_budget"}]}, project={"name": "P"})
    )
    assert list_texts(found) == ["Q\n\n[c.txt]\n\nmilk\n\n[image: a.png]\n\n[b.pdf]", "A"]
    assert list_omitted(found) == {"image": 1, "file": 1, "unknown": 1}
    assert found.tags == ["P"]


def test_conversation_without_ids_is_imported() -> None:
    record = make_claude_record({"uuid": None, "text": "Q"}, {"uuid": None, "text": "A"}, uuid=None)
    assert list_texts(parse(record)) == ["Q", "A"]
    assert parse(record).import_source_id == parse(record).import_source_id
