"""Reasons find their way back from plain English to the sentence they were made of."""

from __future__ import annotations

import ast

import pytest

from chatsite.config import ROOT
from chatsite.engine import reasons
from chatsite.engine.reasons import PLACE, because, taken_apart

SENTENCES = {name: value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}


@pytest.mark.parametrize("name", SENTENCES)
def test_every_sentence_is_found_again(name: str) -> None:
    places = {place: f"some {place}, 1.5" for place in PLACE.findall(SENTENCES[name])}
    assert taken_apart(because(SENTENCES[name], **places)) == (SENTENCES[name], places)


def test_what_is_not_ours_is_left_alone() -> None:
    assert taken_apart("RuntimeError: out of memory") is None
    assert taken_apart("") is None


def test_a_cause_may_be_one_of_them() -> None:
    text = because(reasons.NOT_FETCHED, file="model.bin", repo="some/model", cause=reasons.CUT_OFF)
    assert taken_apart(text) == (
        reasons.NOT_FETCHED,
        {"file": "model.bin", "repo": "some/model", "cause": "the connection ends too early."},
    )


def test_no_engine_words_a_reason_of_its_own() -> None:
    """What is no constant here could not be translated; what is wrong with a file of settings is told to its author."""
    for path in (ROOT / "chatsite" / "engine").rglob("*.py"):
        if path.name in {"own.py", "catalogue.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "reason":
                assert not isinstance(node.value, ast.JoinedStr | ast.Constant), f"{path.name}:{node.value.lineno}"
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_refuse":
                assert not isinstance(node.args[0], ast.JoinedStr | ast.Constant), f"{path.name}:{node.lineno}"
