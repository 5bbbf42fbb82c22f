"""Conversations of Open WebUI as a person sees them there: answers, thoughts, files, ratings and branches."""

from __future__ import annotations

from typing import Any

import pytest

from chatsite.models import Status
from tests.support.record_builders import list_omitted, list_texts, make_openwebui_record, parse

QUESTION = {"content": "Question"}


def output(kind: str, text: str = "x") -> dict[str, Any]:
    """Return a part of an answer."""
    return {"type": kind, "content": [{"type": "output_text", "text": text}]}


def parse_answer(**answer: Any) -> str:
    """Return the text of an answer."""
    return list_texts(parse(make_openwebui_record(QUESTION, answer)))[1]


def test_answers_in_output_are_imported() -> None:
    parts = [
        output("reasoning"),
        output("message", "I look. "),
        output("function_call"),
        output("function_call_output"),
    ]
    found = parse(make_openwebui_record(QUESTION, {"output": [*parts, output("message", "Overnight.")]}))
    assert list_texts(found) == ["Question", "I look.\n\nOvernight."]
    assert list_omitted(found) == {"tool_call": 1}
    split = {"type": "message", "content": [{"text": "Over"}, {"text": "night."}]}
    assert parse_answer(output=[split]) == "Overnight."
    # Where both are there, the content is the answer, and nothing is counted twice.
    details = '<details type="reasoning">x</details>'
    found = parse(make_openwebui_record(QUESTION, {"content": f"{details}Rye.", "output": parts}))
    assert (list_texts(found)[1], list_omitted(found)) == ("Rye.", {"tool_call": 1})
    found = parse(make_openwebui_record(QUESTION, {"content": "Rye.", "output": [output("hologram")]}))
    assert list_omitted(found) == {"unknown": 1}


@pytest.mark.parametrize(
    ("error", "shown"), [({"content": "Out of memory"}, "Out of memory"), (True, "Error"), ("x", "x")]
)
def test_answer_without_text_that_failed_says_so(error: object, shown: str) -> None:
    [_, answer] = parse(make_openwebui_record(QUESTION, {"error": error, "model": "m"})).messages
    [generation] = answer.generations
    assert (answer.text, generation["status"], str(generation["error"])) == ("", Status.FAILED, shown)
    assert len(parse(make_openwebui_record(QUESTION, {"error": None})).messages) == 1


def test_branch_of_a_current_message_without_text_is_shown() -> None:
    answers = [{"content": "First answer"}, {"content": "Follow up"}, {"content": ""}]
    old = {"content": "Long ago", "parentId": "n0", "role": "assistant"}
    assert list_texts(parse(make_openwebui_record(QUESTION, *answers, old, current="n3"))) == [
        "Question",
        "First answer",
        "Follow up",
    ]


@pytest.mark.parametrize(
    ("content", "shown", "omitted"),
    [
        (
            '<details type="reasoning" done="true">\n<summary>x</summary>\n> Hm.\n</details>\nFour [1].',
            "Four [1].",
            None,
        ),
        ('<details type="tool_calls" result="&quot;<b>&quot;">\n</details>\nIt is noon.', "It is noon.", "tool_call"),
        ('A <details type="code_interpreter">x</details>B', "A B", "tool_call"),
        ("<think>Hm.</think>Four.", "Four.", None),
        ('Four.<details type="reasoning" done="false">\n> Let me', "Four.", None),
        ("<details><summary>More</summary>x</details>", "<details><summary>More</summary>x</details>", None),
        ("Write <think> first.", "Write <think> first.", None),
        ("<detailsx>", "<detailsx>", None),
        ('<details type="reasoning"', '<details type="reasoning"', None),
    ],
    ids=range(9),
)
def test_thoughts_and_calls_are_cut_out(content: str, shown: str, omitted: str | None) -> None:
    found = parse(make_openwebui_record(QUESTION, {"content": content}))
    assert list_texts(found) == ["Question", shown]
    assert list_omitted(found) == ({omitted: 1} if omitted else {})
    # What a person writes stays as it is.
    assert list_texts(parse(make_openwebui_record({"content": content}))) == [content]


@pytest.mark.parametrize(
    "text", ["<details" * 100_000, "<details>" * 100_000, '<details type="x' * 60_000, "![](data:image/" * 60_000]
)
def test_hostile_answers_take_linear_time(text: str) -> None:
    assert parse_answer(content=f"a{text}a")


def test_files_and_images_are_named() -> None:
    files = [
        {"type": "file", "name": "sums.pdf"},
        {"type": "image", "url": "data:image/png;base64,iVBO"},
        {"type": "file", "name": "a.png", "content_type": "image/png"},
        {"type": "collection", "file": {"filename": "notes"}},
    ]
    answer = "Here: ![A fox](data:image/png;base64,iVBO+/=) ![x](/api/v1/files/1/content) ![y](https://x.org/y.png)"
    found = parse(make_openwebui_record({"files": files}, {"content": answer}))
    assert list_texts(found) == [
        "[sums.pdf]\n\n[image]\n\n[image: a.png]\n\n[notes]",
        "Here: [image: A fox] [image: x] ![y](https://x.org/y.png)",
    ]
    assert list_omitted(found) == {"file": 2, "image": 4}
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert list_texts(parse(make_openwebui_record({"content": parts}))) == ["What is it?\n\n[image]"]


def test_sources_are_listed() -> None:
    pages = [{"source": "https://example.org/a", "name": "A"}, {"source": "https://example.org/a"}, {"name": "b.pdf"}]
    sources = [{"source": {"name": "web"}, "document": ["."], "metadata": pages}, {"source": {"name": "c.txt"}}]
    assert parse_answer(content="So [1][2][3].", sources=sources) == (
        "So [1][2][3].\n\n- [1] [A](https://example.org/a)\n- [2] b.pdf\n- [3] c.txt"
    )


def test_ratings_comparisons_settings_and_folders_come_along() -> None:
    record = make_openwebui_record(
        {"content": "Which?", "models": ["a", "b"]},
        {"content": "This.", "model": "a", "modelIdx": 0, "annotation": {"rating": 1}},
        {
            "content": "That.",
            "model": "b",
            "role": "assistant",
            "parentId": "n0",
            "annotation": {"rating": -1, "comment": "too short"},
        },
        current="n1",
        chat={"params": {"system": "Answer like a teacher."}},
        folder_id="folder-1234567",
        meta={"tags": ["home"]},
    )
    found = parse(record)
    assert [message.in_comparison for message in found.messages] == [False, True, True]
    assert [message.generations for message in found.messages[1:]] == [
        [{"model": "a", "rating": 1}],
        [{"model": "b", "rating": -1, "rating_note": "too short"}],
    ]
    assert found.values["instructions"] == "Answer like a teacher."
    assert found.tags == ["home", "Open WebUI folder 234567"]
    assert parse({**record, "folder": {"name": "Baking"}}).tags == ["home", "Baking"]
    # Where one answer was continued from, the others are versions of it.
    record["chat"]["history"]["messages"]["n9"] = {"role": "user", "content": "Why?", "parentId": "n1", "timestamp": 9}
    assert [message.in_comparison for message in parse(record).messages] == [False] * 4


def test_conversation_without_id_is_imported() -> None:
    record = {**make_openwebui_record(QUESTION), "id": None}
    assert parse(record).import_source_id == parse(record).import_source_id
