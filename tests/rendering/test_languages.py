"""The language of a text is said only where it is clear."""

from __future__ import annotations

import time

import pytest

from chatsite.rendering.languages import MAX_CHARS, guess_language

ENGLISH = "Rainbows form when sunlight meets drops of water in the air. The light is bent, and each color leaves it."
SPANISH = "El arcoíris se forma cuando la luz del sol entra en las gotas de agua y cada color sale con otro ángulo."
FRENCH = "L'arc-en-ciel se forme quand la lumière du soleil rencontre les gouttes de pluie et que chaque couleur sort."
PORTUGUESE = "O arco-íris se forma quando a luz do sol entra nas gotas de água e cada cor sai com um ângulo, para nós."
CATALAN = "L'arc de Sant Martí es forma quan la llum del sol entra a les gotes d'aigua, i cada color surt amb un angle."
ITALIAN = "L'arcobaleno si forma quando la luce del sole entra nelle gocce e ogni colore esce con un altro angolo."
GERMAN = "Ein Regenbogen entsteht, wenn das Licht der Sonne in die Tropfen fällt und jede Farbe anders gebrochen wird."
DUTCH = "Een regenboog is er als het licht van de zon in de druppels valt, en elke kleur met een hoek eruit komt."


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (SPANISH, "es"),
        ("Sure! Here is what you can do with it: open the file and read what is there.", "en"),
        ("¡Claro! Esto es lo que puedes hacer: abre el archivo y lee las líneas que hay.", "es"),
        ("No.", ""),
        ("Hola", ""),
        ("OK, yes.", ""),
        ("", ""),
        ("😀 1234 — ...", ""),
        *((text, "") for text in (FRENCH, PORTUGUESE, CATALAN, ITALIAN, GERMAN, DUTCH)),
        # Both at once, and one of them as the subject of the other.
        (f"{ENGLISH} {SPANISH}", ""),
        ("El verbo inglés «to be» es muy común, y hay que saber las formas: I am, you are.", ""),
        ("这是一个关于彩虹的句子。", ""),
        # Code is in no language.
        (f"```python\n# the file and the line that it has: {ENGLISH}\n```\nHola.", ""),
        (f"```\n{ENGLISH}\n```\n{SPANISH}", "es"),
    ],
)
def test_language_is_guessed_by_a_clear_margin(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_guess_takes_the_beginning_of_a_text() -> None:
    assert guess_language(f"{SPANISH} " * (MAX_CHARS // len(SPANISH) + 1) + f"{ENGLISH} " * 1000) == "es"


@pytest.mark.parametrize("piece", ["`", "```\n", "~~~\n", "the ", "`a", "a" * 50, "`\n"])
def test_guess_takes_linear_time(piece: str) -> None:
    # The time of this process alone: others may keep the processor busy meanwhile.
    began = time.process_time()
    guess_language(piece * 1_000_000)
    assert time.process_time() - began < 0.5
