"""What models of other products thought: it comes in beside the answers, and never becomes part of their texts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatsite.services.chat import reasonings
from chatsite.services.transfer.message_ordering import ImportedReasoning
from chatsite.services.transfer.omissions import OmittedKind
from tests.conftest import People
from tests.support import transfer_fixtures as t
from tests.support.file_reading import read_one
from tests.support.record_builders import make_chatgpt_record, make_claude_record, make_node, make_openwebui_record

THOUGHT = "Two and two."
KEPT = ImportedReasoning(THOUGHT)
QUESTION = {"content": "What is it?"}


def openwebui(**answer: Any) -> dict[str, Any]:
    return make_openwebui_record(QUESTION, answer)


def openai(**answer: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", **answer}]}


def deepseek() -> dict[str, Any]:
    def node(parent: str | None, *fragments: tuple[str, str]) -> dict[str, Any]:
        parts = [{"type": kind, "content": text} for kind, text in fragments]
        return {"parent": parent, "message": {"fragments": parts}}

    mapping = {
        "1": node(None, ("REQUEST", "What is it?")),
        "2": node("1", ("THINK", THOUGHT), ("RESPONSE", "Four.")),
    }
    return {"id": "d", "inserted_at": "2025-01-01T00:00:00Z", "mapping": mapping}


def librechat(thought: object) -> dict[str, Any]:
    parts = [{"type": "think", "think": thought}, {"type": "text", "text": "Four."}]
    question = {"messageId": "1", "isCreatedByUser": True, "text": "What is it?"}
    return {"conversationId": "l", "messages": [question, {"messageId": "2", "text": "", "content": parts}]}


def grok() -> dict[str, Any]:
    question = {"response": {"_id": "1", "sender": "human", "message": "What is it?"}}
    answer = {"response": {"_id": "2", "sender": "ASSISTANT", "message": "Four.", "thinking_trace": THOUGHT}}
    return {"conversations": [{"conversation": {"id": "g"}, "responses": [question, answer]}]}


def qwen() -> dict[str, Any]:
    phases = [{"phase": "think", "content": THOUGHT}, {"phase": "answer", "content": "Four."}]
    record = openwebui(content="")
    record["chat"]["history"]["messages"]["n1"]["content_list"] = phases
    return record


def chatgpt() -> dict[str, Any]:
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "Add", "content": THOUGHT}]}
    told = {"content_type": "reasoning_recap", "content": "4 s"}
    recap = make_node("r", "t", "assistant", content=told, metadata={"finished_duration_sec": 4})
    return make_chatgpt_record(
        make_node("u", None, "user", "What is it?"),
        make_node("t", "u", "assistant", content=thoughts),
        recap,
        make_node("a", "r", "assistant", "Four."),
    )


DETAILS = (
    '<details type="reasoning" done="true" duration="12">\n<summary>Thought for 12 seconds</summary>\n'
    "&gt; Two and\n&gt; two.\n</details>\nFour."
)


@pytest.mark.parametrize(
    ("record", "reasoning"),
    [
        (openwebui(content="<think>\nTwo and two.\n</think>\nFour."), KEPT),
        (openwebui(content=DETAILS), ImportedReasoning("Two and\ntwo.", seconds=12.0)),
        (openwebui(content=DETAILS.replace("&gt;", ">")), ImportedReasoning("Two and\ntwo.", seconds=12.0)),
        (
            openwebui(
                output=[
                    {"type": "reasoning", "duration": 3.5, "content": [{"type": "output_text", "text": THOUGHT}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "Four."}]},
                ]
            ),
            ImportedReasoning(THOUGHT, seconds=3.5),
        ),
        (openai(content="Four.", reasoning_content=THOUGHT, reasoning=THOUGHT), KEPT),
        (openai(content=[{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "Four."}]), KEPT),
        (openai(content="Four.", reasoning={"tokens": 3}), None),
        (make_claude_record(
            {"content": [{"type": "text", "text": "What is it?"}]},
            {"content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "Four."}]},
        ), KEPT),
        (deepseek(), KEPT),
        (librechat(THOUGHT), KEPT),
        (librechat({"value": THOUGHT}), KEPT),
        (grok(), KEPT),
        (qwen(), KEPT),
        (chatgpt(), ImportedReasoning(THOUGHT, seconds=4.0)),
    ],
)  # fmt: skip
def test_reasoning_is_kept_beside_the_answer(record: dict[str, Any], reasoning: ImportedReasoning | None) -> None:
    talk = read_one([record] if "conversations" not in record else record)
    question, answer = talk.messages
    assert (question.text, question.reasoning, answer.text) == ("What is it?", None, "Four.")
    assert answer.reasoning == reasoning
    assert bool(talk.omitted[OmittedKind.THOUGHTS]) is (reasoning is None)


def test_reasoning_without_an_answer_is_left_out() -> None:
    talk = read_one([openai(content="", reasoning_content=THOUGHT)])
    assert [message.text for message in talk.messages] == ["What is it?"]
    assert talk.omitted[OmittedKind.THOUGHTS] == 1


def test_imported_reasoning_is_exported(people: People) -> None:
    t.import_file(people.alice, json.dumps([openai(content="Four.", reasoning_content=f"{THOUGHT}\x00")]))
    [talk] = t.list_conversations(people.alice)
    answer = t.list_messages(talk)[-1]
    row = reasonings.load([answer])[answer.id]
    assert (answer.text, row.text, row.token_count, row.seconds) == ("Four.", THOUGHT, None, None)
    exported = json.loads(t.export_native(people.alice))
    assert exported["conversations"][0]["messages"][1]["reasoning"] == {
        "text": THOUGHT,
        "tokens": None,
        "seconds": None,
    }
