"""What imports leave out is counted, whatever the format."""

from __future__ import annotations

from typing import Any

from chatsite.services.transfer.formats import gemini, sillytavern
from tests.support.record_builders import (
    list_omitted,
    list_texts,
    make_chatgpt_record,
    make_claude_record,
    make_node,
    make_openwebui_record,
    parse,
)


def test_what_is_left_out_is_counted() -> None:
    """The report says it for every format."""
    deepseek = {
        "id": "d",
        "inserted_at": "2025-01-01T00:00:00Z",
        "mapping": {
            "1": {
                "parent": None,
                "message": {
                    "files": [{"file_name": "a.pdf"}],
                    "fragments": [{"type": each, "content": "x"} for each in ("REQUEST", "THINK", "SEARCH", "NEW")],
                },
            }
        },
    }
    librechat = {
        "conversationId": "l",
        "messages": [
            {
                "messageId": "1",
                "content": [{"type": each, "text": "x"} for each in ("text", "think", "tool_call", "image_url", "new")],
                "files": [{"filename": "a.pdf"}, {"filename": "b.png", "type": "image/png"}],
            }
        ],
    }
    phases = [{"phase": each, "content": "x"} for each in ("answer", "think", "web_search")]
    qwen = {"id": "q", "chat": {"history": {"messages": {"1": {"role": "assistant", "content_list": phases}}}}}
    response = {"message": "x", "file_attachments": [{"file_name": "a"}], "generated_image_urls": ["u"]}
    grok = {"conversation": {"id": "g"}, "responses": [{"response": response}]}
    parts = [{"type": each, "text": "x"} for each in ("text", "image_url", "input_audio")]
    turns = [("system", "x"), ("user", parts), ("tool", "x"), ("system", "x")]
    plain = {"messages": [{"role": role, "content": content} for role, content in turns]}
    assert [list_omitted(parse(record)) for record in (deepseek, librechat, qwen, grok, plain)] == [
        {"file": 1, "thoughts": 1, "tool_call": 1, "unknown": 1},
        # One without its text is left out, too.
        {"thoughts": 1, "tool_call": 1, "image": 2, "unknown": 1, "file": 1},
        {"tool_call": 1},
        {"file": 1, "image": 1},
        {"image": 1, "recording": 1, "tool_call": 1, "hidden": 1},
    ]


def test_parts_of_openai_and_anthropic_messages_are_named_and_counted() -> None:
    question = [
        {"type": "text", "text": "Look"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:"}},
        {"type": "input_file", "filename": "b.csv"},
        {"type": "image_file", "image_file": {"file_id": "f"}},
        {"type": "new", "x": 1},
    ]
    answer = [
        {"type": "thinking", "thinking": "Hm"},
        {"type": "tool_use", "name": "look", "input": {}},
        {"type": "text", "text": "Seen."},
    ]
    turns = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer, "reasoning_content": "Hm"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}, {"id": "2"}]},
        # What the calls returned is part of them.
        {"role": "tool", "tool_call_id": "1", "content": "x"},
        {"role": "user", "content": [{"type": "document", "title": "c.pdf"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    parsed = parse({"messages": turns})
    assert list_texts(parsed) == ["Look\n\n[a.pdf]\n\n[b.csv]\n\n[image]", "Seen.", "[c.pdf]", "No."]
    assert list_omitted(parsed) == {"file": 3, "image": 1, "unknown": 1, "tool_call": 3}


def test_what_sillytavern_attaches_is_named_and_counted() -> None:
    lines = [
        {"is_user": True, "mes": "", "extra": {"file": {"name": "plan.txt", "url": "/u/1.txt"}}},
        {
            "is_user": False,
            "mes": "B",
            "swipes": ["A", "B"],
            "swipe_id": 1,
            "extra": {"reasoning": "Hm", "image": "user/images/x/map.png"},
            "swipe_info": [{"extra": {"reasoning": "Hm"}}, {"extra": {"reasoning": "Hm"}}],
        },
        {"is_user": True, "mes": "C", "extra": {"media": [{"type": "image", "url": "data:image/png;base64,x"}]}},
        {"is_user": False, "is_system": True, "mes": "Help", "extra": {"type": "help"}},
        {"is_user": False, "is_system": True, "mes": "Calls", "extra": {"tool_invocations": [{}, {}]}},
    ]
    parsed = sillytavern.parse_conversation({"header": {"character_name": "G"}, "messages": lines})
    assert list_texts(parsed) == ["[plan.txt]", "B\n\n[image: map.png]", "C\n\n[image]"]
    assert [message.text for message in parsed.messages if not message.is_active] == ["A"]
    assert list_omitted(parsed) == {"file": 1, "image": 2, "thoughts": 2, "hidden": 1, "tool_call": 2}


def test_attachments_of_other_products_are_named_and_counted() -> None:
    activity = {
        "title": "Prompted What is this?",
        "time": "2026-01-01T00:00:00Z",
        "attachedFiles": ["sketch.png", "a.pdf"],
        "imageFile": "sketch.png",
    }
    gemini_record = gemini.parse_conversation({"activities": [activity]})
    grok = parse({"conversation": {"id": "g"}, "responses": [{"response": {"file_attachments": ["0a1b"]}}]})
    content = [{"type": "image_file", "image_file": {"filename": "sketch.png"}}]
    librechat = parse({"conversationId": "l", "messages": [{"messageId": "1", "text": "x", "content": content}]})
    claude = parse(make_claude_record({"text": "x", "files": [{"file_name": "sketch.png", "file_kind": "image"}]}))
    attached = {"metadata": {"attachments": [{"id": "1", "name": "sketch.png", "mime_type": "image/png"}]}}
    chatgpt = parse(make_chatgpt_record(make_node("1", None, "user", "x", **attached)))
    assert [list_texts(each) for each in (gemini_record, grok, librechat, claude, chatgpt)] == [
        ["What is this?\n\n[image: sketch.png]\n\n[a.pdf]"],
        ["[file]"],
        ["x\n\n[image: sketch.png]"],
        ["x\n\n[image: sketch.png]"],
        ["x\n\n[image: sketch.png]"],
    ]
    assert [list_omitted(each) for each in (gemini_record, grok, librechat, claude, chatgpt)] == [
        {"image": 1, "file": 1},
        {"file": 1},
        {"image": 1},
        {"image": 1},
        {"image": 1},
    ]


def test_kind_that_is_no_text_is_unknown() -> None:
    """A list cannot be looked up in a set."""
    odd = {"type": [], "phase": [], "content_type": [], "x": 1}
    claude = parse(make_claude_record({"content": [{"type": "text", "text": "x"}, odd]}))
    chatgpt = parse(make_chatgpt_record(make_node("1", None, "user", "x", odd)))
    assert [list_omitted(each) for each in (claude, chatgpt)] == [{"unknown": 1}] * 2


def test_ratings_instructions_and_tags_of_librechat_come_in() -> None:
    answers = [
        {"messageId": "2", "parentMessageId": "1", "text": "A", "feedback": {"rating": "thumbsUp", "text": "Good"}},
        {"messageId": "3", "parentMessageId": "1", "text": "B", "feedback": {"rating": "thumbsDown", "tag": {}}},
        {"messageId": "4", "parentMessageId": "1", "text": "C", "feedback": "x"},
    ]
    question = {"messageId": "1", "text": "Q", "isCreatedByUser": True, "feedback": {"rating": "thumbsUp"}}
    options = {
        "promptPrefix": "Be brief.",
        "tags": ["home", 5],
        "isArchived": True,
        "updatedAt": "2026-01-02T00:00:00Z",
    }
    parsed = parse({"conversationId": "l", "options": options, "messages": [question, *answers]})
    assert [message.generations for message in parsed.messages] == [
        [],
        [{"rating": 1, "rating_note": "Good"}],
        [{"rating": -1}],
        [],
    ]
    assert (parsed.values["instructions"], parsed.tags) == ("Be brief.", ["home"])
    assert parsed.values["archived_at"] == parsed.updated_at


def test_what_tools_of_librechat_made_is_named_and_counted() -> None:
    made = [{"filename": "chart.png", "type": "image/png"}, {"type": "web_search", "web_search": {}}]
    messages = [
        {"messageId": "1", "text": "Q", "isCreatedByUser": True},
        {"messageId": "2", "parentMessageId": "1", "text": "A", "attachments": made, "plugins": [{}, {}]},
        {"messageId": "3", "parentMessageId": "2", "text": "B", "plugin": {"latest": "x"}},
    ]
    parsed = parse({"conversationId": "l", "messages": messages})
    assert list_texts(parsed) == ["Q", "A\n\n[image: chart.png]", "B"]
    assert list_omitted(parsed) == {"image": 1, "tool_call": 3}


def test_summary_of_claude_is_counted() -> None:
    parsed = [parse(make_claude_record({"text": "Q"}, summary=summary)) for summary in ("They spoke.", "", " ", None)]
    assert [list_omitted(each) for each in parsed] == [{"summary": 1}, {}, {}, {}]


def test_options_and_files_of_a_chat_of_open_webui_come_in_or_are_counted() -> None:
    params = {"temperature": 0.2, "top_p": 5, "num_predict": 300, "seed": 7, "mirostat": 1, "system": "Be brief."}
    files = [{"id": "f1", "name": "a.pdf"}, {"id": "f2", "type": "collection", "name": "Manuals"}]
    question = {"content": "Q", "files": files[:1], "merged": {"status": True, "content": "Both say yes."}}
    parsed = parse(make_openwebui_record(question, {"content": "A"}, chat={"params": params, "files": files}))
    assert parsed.values["generation_options"] == {"temperature": 0.2, "max_new_tokens": 300, "seed": 7}
    assert parsed.values["instructions"] == "Be brief."
    assert list_omitted(parsed) == {"file": 1, "unknown": 2}
    assert parse(make_openwebui_record({"content": "Q"})).values["generation_options"] is None


def test_sources_and_steps_of_grok_are_listed_and_counted() -> None:
    pages = [{"title": "Bread", "url": "https://example.com/b", "preview": "x"}, {"url": "https://example.org"}, {}]
    answer = {
        "_id": "2",
        "parent_response_id": "1",
        "message": "Rye.",
        "sender": "ASSISTANT",
        "cited_web_search_results": [*pages, pages[0]],
        "web_search_results": pages,
        "agent_thinking_traces": ["Hm", "Ah"],
        "steps": [{"text": "x"}, {"text": "y"}],
    }
    responses = [{"_id": "1", "message": "Which?", "sender": "human"}, answer, {**answer, "_id": "3", "message": ""}]
    parsed = parse({"conversation": {"id": "g"}, "responses": [{"response": each} for each in responses]})
    links = "- [Bread](https://example.com/b)\n- [example.org](https://example.org)"
    assert list_texts(parsed) == ["Which?", f"Rye.\n\n{links}"]
    assert list_omitted(parsed) == {"tool_call": 4, "thoughts": 4}


def test_branch_that_grok_shows_is_active() -> None:
    texts = {"1": (None, "Q"), "2": ("1", "One"), "3": ("1", "Two"), "4": ("2", "")}
    responses: list[dict[str, Any]] = []
    for key, (parent, text) in texts.items():
        response = {"_id": key, "parent_response_id": parent, "message": text}
        responses.append({"response": response | {"sender": "ASSISTANT" if parent else "human"}})
    for leaf, shown in (("2", "One"), ("3", "Two"), ("4", "One"), (None, "Two"), ("gone", "Two")):
        parsed = parse({"conversation": {"id": "g", "leaf_response_id": leaf}, "responses": responses})
        assert list_texts(parsed) == ["Q", shown]


def test_tags_of_old_chats_of_open_webui_come_in() -> None:
    for tags in (["home", "garden"], [{"name": "home"}, {"name": "garden"}, {}, 5]):
        assert parse(make_openwebui_record({"content": "Q"}, chat={"tags": tags})).tags == ["home", "garden"]
