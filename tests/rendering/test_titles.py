"""Titles say what a first message is about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.rendering.titles import title_from_question

FIRST_MESSAGES = [
    # English: how people begin, and what they ask for.
    ("Hello! Who are you, and can you recommend a good book about the sea?", "Who are you"),
    ("Hello", "Hello"),
    ("hi there!", "Hi there!"),
    ("Hey, what's the capital of Australia?", "What's the capital of Australia?"),
    (
        "Good morning! Could you please explain how rainbows form, in three sentences?",
        "Explain how rainbows form, in three sentences",
    ),
    ("can you write a short poem about the sea at night?", "Write a short poem about the sea at night"),
    ("Can you please help me fix this bug? It crashes on start.", "Fix this bug"),
    (
        "Please translate this letter into French: Dear Sir, I am writing to you",
        "Translate this letter into French: Dear Sir",
    ),
    ("I was wondering if you could suggest a name for my cat", "Suggest a name for my cat"),
    ("I'd like to know why the sky is blue", "Why the sky is blue"),
    ("Do you know how to cook rice?", "How to cook rice"),
    ("Tell me about the French Revolution.", "The French Revolution"),
    ("Help me with my math homework please", "My math homework"),
    ("Look: I have two apples and eat one. How many are left?", "I have two apples and eat one"),
    ("Look at this sentence and find the verb", "Look at this sentence and find the verb"),
    ("So, what do you think about jazz?", "What do you think about jazz?"),
    ("Hi, how are you? I need you to summarize this article. Thanks!", "Summarize this article"),
    ("Why is the sky blue? And why is it red at night?", "Why is the sky blue?"),
    ("Why?", "Why?"),
    ("What did Dr. Smith say, e.g. about Mr. Jones?", "What did Dr. Smith say, e.g. about Mr. Jones?"),
    ("Hi-fi systems for small rooms", "Hi-fi systems for small rooms"),
    ("History of Rome", "History of Rome"),
    (
        "I want a plan for a week in Lisbon with two children, a small budget, and no car",
        "I want a plan for a week in Lisbon with two children",
    ),
    # Spanish.
    ("¡Hola! ¿Puedes recomendarme un libro sobre el mar?", "Recomendar un libro sobre el mar"),
    ("Hola, ¿qué tal? ¿Me podrías explicar cómo funciona un motor?", "Explicar cómo funciona un motor"),
    ("Buenas tardes. ¿Podría decirme cuál es la capital de Australia?", "Cuál es la capital de Australia"),
    ("¿Cuál es la capital de Australia?", "¿Cuál es la capital de Australia?"),
    ("¿cómo se prepara una tortilla?", "¿Cómo se prepara una tortilla?"),
    ("Por favor, traduce esta carta al francés", "Traduce esta carta al francés"),
    ("Mira: tengo dos manzanas y me como una. ¿Cuántas quedan?", "Tengo dos manzanas y me como una"),
    ("Quisiera saber por qué el cielo es azul", "Por qué el cielo es azul"),
    ("Ayúdame a escribir un correo para mi jefe, por favor", "Escribir un correo para mi jefe"),
    ("Dime tres ideas para un domingo de lluvia", "Tres ideas para un domingo de lluvia"),
    ("buenas", "Buenas"),
    ("Hola Marta es el título de mi novela", "Hola Marta es el título de mi novela"),
    # Code, addresses and marks.
    ("```python\ndef f(x):\n    return x\n```\nWhy does this fail?", "Why does this fail?"),
    ("```python\ndef f(x):\n    return x\n```", "def f(x)"),
    ("`npm install` fails on Windows", "npm install fails on Windows"),
    ("Summarize https://www.example.com/a/very/long/path?with=words for me", "Summarize example.com for me"),
    ("# Recipe\n\nGive me **the best** pancakes", "Recipe"),
    ("iPhone or Android?", "iPhone or Android?"),
    ("/say Hello", "/say Hello"),
    # Languages that are not known, and that write without spaces.
    ("昨日は東京でラーメンを食べました。美味しかったです。", "昨日は東京でラーメンを食べました。美味しかったです。"),
    ("请介绍一下你自己。", "请介绍一下你自己。"),
    ("Bonjour ! Peux-tu m'aider ?", "Bonjour ! Peux-tu m'aider ?"),
    ("🎉🎉", "🎉🎉"),
    ("", ""),
]


@pytest.mark.parametrize(("source", "title"), FIRST_MESSAGES)
def test_title_says_what_message_is_about(source: str, title: str) -> None:
    assert title_from_question(source) == title


def test_long_sentence_without_comma_ends_behind_a_word() -> None:
    made = title_from_question("please " + "word " * 10_000)
    assert made == "Word " + "word " * 10 + "word…"


WORDS = st.sampled_from(
    ["Hello", "hola", "¿", "¡", "can you", "puedes", "please", "a", "!", "?", ".", ",", "\n", "`", " "]
)


@given(st.lists(WORDS, max_size=30).map("".join) | st.text(max_size=200), st.integers(10, 60))
def test_any_title_is_one_line_that_fits(source: str, max_chars: int) -> None:
    made = title_from_question(source, max_chars)
    assert len(made) <= max_chars
    assert "\n" not in made
    assert made == made.strip()
