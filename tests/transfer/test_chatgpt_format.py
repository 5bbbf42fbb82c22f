"""Conversations of ChatGPT as a person sees them there: links, documents, images, files, voice and settings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatsite.errors import MessageTooLargeError, NothingWrittenError, UnknownContentError
from chatsite.models import Role
from chatsite.services.transfer.coercion import MAX_MESSAGE_CHARS
from chatsite.services.transfer.content import documents
from chatsite.services.transfer.formats import canvas
from tests.support.record_builders import list_omitted, list_texts, make_chatgpt_record, make_node, parse

QUESTION = make_node("u", None, "user", "Question")


def parse_answer(*parts: Any, **metadata: Any) -> str:
    """Return the text of an answer."""
    answer = make_node("a", "u", "assistant", *parts, metadata=metadata)
    return list_texts(parse(make_chatgpt_record(QUESTION, answer)))[1]


def canvas_call(key: str, parent: str, tool: str, **call: Any) -> Any:
    """Return a message to the canvas."""
    content = {"content_type": "code", "language": "json", "text": json.dumps(call)}
    return make_node(key, parent, "assistant", content=content, recipient=f"canmore.{tool}_textdoc")


def image(asset: str, **metadata: Any) -> dict[str, Any]:
    """Return a part that is an image."""
    return {"content_type": "image_asset_pointer", "asset_pointer": asset, "metadata": metadata}


def test_search_marks_become_links() -> None:
    cite, entity = "\ue200cite\ue202turn0search1\ue202turn0search4\ue201", '\ue200entity\ue202["plant","rye","x"]\ue201'
    text = f"Rye rises slowly.{cite} Keep it warm.{entity} Done."
    reference = {"matched_text": cite, "alt": "([example.org](https://example.org/rye))", "type": "grouped_webpages"}
    expected = "Rye rises slowly. ([example.org](https://example.org/rye)) Keep it warm. rye Done."
    assert parse_answer(text, content_references=[reference]) == expected
    # Without `alt` its pages say it, and without a reference the mark goes, with the space before it.
    pages = [{"title": "On [rye]", "url": "https://example.org/(rye)"}, {"title": "x", "url": "javascript:x"}]
    linked = parse_answer(text, content_references=[{"matched_text": cite, "alt": None, "items": pages}])
    assert "slowly. ([On \\[rye\\]](https://example.org/%28rye%29)) Keep" in linked
    assert parse_answer(f"Slow {cite}. \ue203Warm\ue204 \ue200cite\ue202turn") == "Slow. Warm"
    assert parse_answer(f"**{entity}** and ({entity})") == "**rye** and (rye)"
    assert parse_answer("See \ue200url\ue202Rye\ue202https://example.org/\ue201.") == "See [Rye](https://example.org/)."
    # A reference to a space or to nothing is not a mark.
    assert parse_answer("a b c", content_references=[{"matched_text": " ", "alt": "X"}]) == "a b c"


def test_old_citations_become_links() -> None:
    page = {"type": "webpage", "title": "The tower", "url": "https://example.org/tower"}
    text = "The tower is 50 m high【7†source】 and open on Mondays【3:1†guide.pdf】."
    expected = "The tower is 50 m high ([The tower](https://example.org/tower)) and open on Mondays."
    assert parse_answer(text, citations=[{"start_ix": 22, "end_ix": 32, "metadata": page}]) == expected
    assert parse_answer("5 m【7†source】.", citations=[{"start_ix": 99, "metadata": page}]) == (
        "5 m ([The tower](https://example.org/tower))."
    )
    reference = {"matched_text": "【7†source】", "type": "webpage", **page}
    assert parse_answer(text, content_references=[reference]) == expected
    # Brackets of a language are no marks.
    assert parse_answer("【注意】 。") == "【注意】 。"


def test_canvas_documents_come_with_their_answers() -> None:
    record = make_chatgpt_record(
        QUESTION,
        canvas_call("k", "u", "create", name="A *letter*", type="document", content="Dear landlord,\n\nit is cold."),
        make_node("o", "k", "tool", "Successfully created"),
        make_node("a", "o", "assistant", "The letter is in the canvas."),
        make_node("u2", "a", "user", "Shorter."),
        canvas_call("k2", "u2", "update", updates=[{"pattern": ".*", "replacement": "It is cold."}]),
        make_node("u3", "k2", "user", "Warmer."),
        canvas_call("k3", "u3", "update", updates=[{"pattern": "is cold\\.", "replacement": "is warm."}]),
    )
    title = "**A \\*letter\\***\n\n"
    assert list_texts(parse(record)) == [
        "Question",
        f"{title}Dear landlord,\n\nit is cold.",
        "The letter is in the canvas.",
        "Shorter.",
        f"{title}It is cold.",
        "Warmer.",
        f"{title}It is warm.",
    ]
    assert list_omitted(parse(record)) == {}


def test_canvas_programs_are_code_and_branches_have_their_own_documents() -> None:
    record = make_chatgpt_record(
        QUESTION,
        canvas_call("k", "u", "create", name="x.py", type="code/python", content="a = 1"),
        make_node("l", "k", "user", "Two"),
        canvas_call("l2", "l", "update", updates=[{"pattern": "1", "replacement": "2"}]),
        make_node("r", "k", "user", "Three"),
        canvas_call("r2", "r", "update", updates=[{"pattern": "1", "replacement": "3"}]),
        # Its pattern is more than a passage, so it is not run: what it put in is there.
        canvas_call("r3", "r2", "update", updates=[{"pattern": "(a+)+$", "replacement": "b = 4"}]),
        canvas_call("broken", "r3", "create", name="y"),
    )
    found = {message.source_key: message.text for message in parse(record).messages}
    assert found["k"] == "**x.py**\n\n```python\na = 1\n```"
    assert found["l2"] == "**x.py**\n\n```python\na = 2\n```"
    assert found["r2"] == "**x.py**\n\n```python\na = 3\n```"
    assert found["r3"] == "**x.py**\n\n```python\nb = 4\n```"
    assert list_omitted(parse(record)) == {"tool_call": 1}


def test_many_changes_of_a_document_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_COPIED_CHARS", 25)
    edits = [documents.DocumentEdit("d", replacements=[(str(n), str(n + 1))]) for n in range(3)]
    keys = ["first", "a", "b", "c"]
    found = documents.resolve_documents(
        dict(zip(keys, [[documents.DocumentEdit("d", text="number 0")], *([each] for each in edits)], strict=True)),
        {"first": None, "a": "first", "b": "a", "c": "b"},
    )
    assert [found[key]["d"].text for key in keys] == ["number 0", "number 1", "number 2", "3"]
    circle = documents.resolve_documents({"x": [edits[0]], "y": [edits[1]]}, {"x": "y", "y": "x"})
    assert circle.keys() == {"x", "y"}


def test_patterns_are_passages_or_nothing() -> None:
    message = {"recipient": "canmore.update_textdoc", "content": {"content_type": "text"}}

    def passages(*patterns: str) -> Any:
        call = {"updates": [{"pattern": pattern, "replacement": "x"} for pattern in patterns]}
        edit = canvas.parse_edit({**message, "content": {"parts": [json.dumps(call)]}})
        return edit and [old for old, _ in edit.replacements]

    assert passages("a b", r"f\(x\)\.", r"\d", "a|b", "a.b") == ["a b", "f(x).", "", "", ""]


def test_images_that_tools_made_are_answers() -> None:
    prompt = make_node("a1", "u", "assistant", '{"prompt":"a fox"}', recipient="dalle.text2im")
    record = make_chatgpt_record(
        QUESTION,
        prompt,
        make_node("t1", "a1", "tool", image("file-service://file-A", dalle={"prompt": "a fox"})),
        make_node("a2", "t1", "assistant", ""),
        make_node("u2", "a2", "user", "With a scarf."),
        make_node("t2", "u2", "tool", image("sediment://file_0"), metadata={"image_gen_title": "Fox [2]"}),
        make_node("u3", "t2", "user", "A chart."),
        make_node(
            "t3",
            "u3",
            "tool",
            content={"content_type": "execution_output", "text": "out"},
            metadata={"aggregate_result": {"messages": [{"message_type": "image"}]}},
        ),
        # The model looked at a page of a file; nobody sees it.
        make_node("t4", "t3", "tool", image("sediment://file_1"), author={"role": "tool", "name": "file_search"}),
    )
    found = parse(record)
    assert list_texts(found) == [
        "Question",
        "[image: a fox]",
        "With a scarf.",
        "[image: Fox (2)]",
        "A chart.",
        "[image]",
    ]
    assert {message.role for message in found.messages if message.source_key.startswith("t")} == {Role.ASSISTANT}
    assert list_omitted(found) == {"image": 3, "tool_call": 1}


def test_files_are_named() -> None:
    attached = [
        {"id": "file-1", "name": "report.pdf", "mime_type": "application/pdf"},
        {"id": "file_2", "name": "garden.jpeg", "mime_type": "image/jpeg"},
    ]
    question = make_node(
        "u", None, "user", image("sediment://file_2"), "Sum it up.", metadata={"attachments": attached}
    )
    answer = make_node("a", "u", "assistant", "See [the sheet](sandbox:/mnt/data/a%20(1).xlsx) and [x](https://x.org).")
    found = parse(make_chatgpt_record(question, answer))
    assert list_texts(found) == [
        "[image: garden.jpeg]\n\nSum it up.\n\n[report.pdf]",
        "See the sheet and [x](https://x.org).",
    ]
    assert list_omitted(found) == {"image": 1, "file": 2}


def test_voice_has_its_transcript_or_a_placeholder() -> None:
    sound = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://f"}
    user_sound = {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": sound}
    transcript = {"content_type": "audio_transcription", "text": "Tell me about owls."}
    found = parse(
        make_chatgpt_record(
            make_node("u", None, "user", transcript, user_sound),
            make_node("a", "u", "assistant", {**transcript, "text": "Owls hunt."}, sound),
            make_node("u2", "a", "user", user_sound),
            make_node("a2", "u2", "assistant", sound, {"content_type": "video_container_asset_pointer"}),
        )
    )
    assert list_texts(found) == ["Tell me about owls.", "Owls hunt.", "[audio]", "[audio]\n\n[video]"]
    assert list_omitted(found) == {"recording": 5}


def test_code_keeps_its_fences_and_language() -> None:
    code = 'a = """\n```\n"""'
    content = {"content_type": "code", "language": "python", "text": code}
    found = parse(make_chatgpt_record(QUESTION, make_node("a", "u", "assistant", content=content)))
    assert list_texts(found)[1] == f"````python\n{code}\n````"
    unknown = {"content_type": "code", "language": "not a word", "text": "x"}
    found = parse(make_chatgpt_record(QUESTION, make_node("a", "u", "assistant", content=unknown)))
    assert list_texts(found)[1] == "```\nx\n```"


def test_settings_of_the_conversation_come_along() -> None:
    profile = {
        "content_type": "user_editable_context",
        "user_profile": "About the user:\n```Cook```",
        "user_instructions": "",
    }
    hidden = {"is_visually_hidden_from_conversation": True}
    given = {"user_context_message_data": {"about_model_message": "Be brief.", "about_user_message": "Baker"}}
    system = make_node("s", None, "user", content=profile, metadata={**hidden, **given})
    answers = [
        make_node("a", "s", "assistant", "A"),
        make_node("b", "a", "assistant", "B", metadata={"model_slug": "o3"}),
    ]
    fields = {"pinned_time": 1700000005.0, "gizmo_id": "g-p-67f0a1b2c3d4", "default_model_slug": "gpt-5"}
    found = parse(make_chatgpt_record(system, *answers, **fields))
    assert (found.values["pinned"], found.values["instructions"]) == (True, "Baker\n\nBe brief.")
    assert found.tags == ["ChatGPT project b2c3d4"]
    assert [message.generations for message in found.messages] == [[{"model": "gpt-5"}], [{"model": "o3"}]]
    assert list_omitted(found) == {}
    quoted = parse(make_chatgpt_record(make_node("s", None, "user", content=profile, metadata=hidden), *answers))
    assert quoted.values["instructions"] == "Cook"
    assert parse(make_chatgpt_record(*answers, gizmo_id="g-abc")).tags == []


def test_conversation_without_id_gets_the_same_one_again() -> None:
    def find_id(*texts: str, key: str = "", **record: Any) -> str:
        nodes = [make_node(f"{key}{n}", f"{key}{n - 1}", "user", text) for n, text in enumerate(texts)]
        return parse({**make_chatgpt_record(*nodes, **record), "conversation_id": None}).import_source_id

    assert find_id("Hello?", "Hello.") == find_id("Hello?", "Hello.")
    # Numbered messages identify nothing, so that two conversations that begin alike stay two.
    assert find_id("Hello?", "Hello.") != find_id("Hello?", "Good day.")
    uuid = "aaa2b3c4-0000-4000-8000-"
    assert find_id("Hello?", key=uuid, create_time=1) == find_id("Hello?", "Hello.", key=uuid, create_time=1)
    assert find_id("Hello?", key=uuid, create_time=1) != find_id("Hello?", key=uuid, create_time=2)


def test_parts_without_a_kind_are_text() -> None:
    found = parse(
        make_chatgpt_record(
            make_node("1", None, "user", content={"parts": ["Hello?"]}),
            make_node("2", "1", "assistant", content="Hello."),
        )
    )
    assert list_texts(found) == ["Hello?", "Hello."]


def test_what_is_left_out_is_counted() -> None:
    thoughts = {"content_type": "thoughts", "thoughts": [{"content": "Hm."}]}
    found = parse(
        make_chatgpt_record(
            make_node("s0", None, "system", ""),
            make_node("s", "s0", "system", "You are ChatGPT."),
            make_node("u", "s", "user", "Q", {"content_type": "hologram"}),
            make_node("t", "u", "assistant", content=thoughts),
            make_node("r", "t", "assistant", content={"content_type": "reasoning_recap", "content": "5 s"}),
            # Nobody has answered after this one.
            make_node("t2", "a", "assistant", content=thoughts),
            make_node("c", "r", "assistant", "search()", recipient="web"),
            make_node("o", "c", "tool", "found"),
            make_node("x", "o", "assistant", content={"content_type": "novelty", "text": "?"}),
            make_node(
                "m", "x", "assistant", content={"content_type": "model_editable_context", "model_set_context": ""}
            ),
            make_node("a", "m", "assistant", "A"),
        )
    )
    assert list_texts(found) == ["Q", "A"]
    assert list_omitted(found) == {"hidden": 1, "thoughts": 1, "tool_call": 1, "unknown": 2}


def test_reasons_for_empty_conversations_are_true() -> None:
    with pytest.raises(NothingWrittenError):
        parse(make_chatgpt_record(make_node("u", None, "user", " ")))
    with pytest.raises(UnknownContentError):
        parse(make_chatgpt_record(make_node("u", None, "user", content={"content_type": "novelty", "text": "?"})))
    with pytest.raises(UnknownContentError):
        parse({"id": "x", "mapping": {"1": {"message": {"fragments": [{"type": "REQUEST", "content": "Hi"}]}}}})
    with pytest.raises(MessageTooLargeError):
        parse(make_chatgpt_record(make_node("u", None, "user", "x" * (MAX_MESSAGE_CHARS + 1))))


@pytest.mark.parametrize(
    "text",
    [" \t" * 400_000, "\ue200" * 200_000, "[](sandbox:" * 80_000, "【1†" * 200_000, "![[" * 300_000],
    ids=["spaces", "marks", "links", "old marks", "brackets"],
)
def test_hostile_answers_take_linear_time(text: str) -> None:
    """Each of these takes minutes or hours with a pattern that looks back or ahead without a bound."""
    assert parse_answer(f"a{text}a", content_references=[], citations=[])
