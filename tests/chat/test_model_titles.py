"""What a model is asked for a title, and what of its text is one."""

from __future__ import annotations

import pytest

from chatsite.services.chat import model_titles

QUESTION = "How do rainbows form?"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("How Rainbows Form", "How Rainbows Form"),
        ("  How Rainbows Form.\n", "How Rainbows Form"),
        ('"How Rainbows Form"', "How Rainbows Form"),
        ("\u201cHow Rainbows Form.\u201d", "How Rainbows Form"),
        ("«Cómo se forman los arcoíris»", "Cómo se forman los arcoíris"),
        ("Title: How Rainbows Form", "How Rainbows Form"),
        ('**Title:** "How Rainbows Form"', "How Rainbows Form"),
        ("Título: Los arcoíris", "Los arcoíris"),
        ("## How Rainbows Form", "How Rainbows Form"),
        ("**How Rainbows Form**", "How Rainbows Form"),
        ("<think>\n\n</think>\n\nHow Rainbows Form", "How Rainbows Form"),
        ("Rainbows \u202e\x00and light", "Rainbows and light"),
        ('The word "rainbow" explained', 'The word "rainbow" explained'),
        ('"Red" and "Blue"', '"Red" and "Blue"'),
        ("Wait and see...", "Wait and see..."),
        ("Claro de luna", "Claro de luna"),
        ("x" * 60, "x" * 60),
    ],
)
def test_title_loses_what_is_around_it(text: str, title: str) -> None:
    assert model_titles.clean_title(text, QUESTION) == title


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "...",
        "\u200b",
        "x" * 61,
        "How Rainbows Form\n\nThis title says it.",
        "1. Rainbows\n2. Light",
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry",
        "Sorry, no title.",
        "I cannot write one.",
        "As an AI language model",
        "Sure! How Rainbows Form",
        "Here is a title: How Rainbows Form",
        "Here's a title:",
        "Lo siento, no puedo",
        "Aquí tienes un título",
        "Claro, los arcoíris",
        "Title:",
        '"How Rainbows',
        "<think>What would be a good",
        "How do rainbows form?",
        "how do rainbows form",
        '"How do rainbows form?"',
    ],
)
def test_what_is_no_title_is_not_used(text: str) -> None:
    assert model_titles.clean_title(text, QUESTION) == ""


@pytest.mark.parametrize("question", ["¿Qué es esto?", "Explica la fotosíntesis", "receta de pan con ajo"])
def test_spanish_questions_are_asked_about_in_spanish(question: str) -> None:
    [turn] = model_titles.build_turns(question, "Respuesta")
    assert turn.text.startswith("Escribe un título")
    assert question in turn.text


@pytest.mark.parametrize("question", ["What is this?", "photosynthesis", "Was ist das?", "def f(x): return x"])
def test_all_others_in_english(question: str) -> None:
    assert model_titles.build_turns(question, "Answer")[0].text.startswith("Write a title")


def test_model_reads_beginnings_only() -> None:
    [turn] = model_titles.build_turns("q" * 100_000, "a" * 100_000)
    assert len(turn.text) < model_titles.MAX_QUESTION_CHARS + model_titles.MAX_ANSWER_CHARS + 300
