"""The language of a text, for the voices that read it: English or Spanish where that is clear, and else none.

A wrong voice is worse than that of the page. So common words of other languages count against both.
"""

from __future__ import annotations

import re
from collections import Counter

MAX_CHARS = 800
"""So many characters of a text are looked at: enough for a clear majority, and next to nothing for a page of texts."""

_MIN_WORDS, _MIN_SHARE, _MIN_LEAD = 3, 0.12, 3
_WORD = re.compile(r"[^\W\d_]+")
_CODE = re.compile(r"(`{3,}|~{3,})[^\n]*\n.*?(?:\n\1|\Z)|`[^`\n]*`", re.DOTALL)
# No word stands in two lines: what two languages have in common says nothing.
_COMMON_WORDS = {
    "en": "the and to that it with are this you from which your they what there have not can would about how because",
    "es": "el los las y del muy también más pero hay hasta cuando está son esto puede puedes cómo qué donde así sin ese"
    " una con para por su sus es lo al como sobre este esta",
    # French, Portuguese, Italian, Catalan, German, Dutch, and languages of the north.
    "": "le les des et dans pas il je vous est sont avec pour sur qui mais não com uma os da em você mais ao são também"
    " che di non è sono della gli per anche questo amb els és aquest perquè der die das und ist nicht ein eine mit"
    " het een van niet en och att är det og ikke jeg som dat voor zijn",
}
_SHARED = {"también", "en"}
_LANGUAGES = {
    word: language for language, words in _COMMON_WORDS.items() for word in words.split() if word not in _SHARED
}


def guess_language(text: str) -> str:
    """Return `en` or `es` if the words of a text say so by a clear margin, and else an empty string."""
    words = _WORD.findall(_CODE.sub(" ", text[:MAX_CHARS]).lower())
    counts = Counter(_LANGUAGES[word] for word in words if word in _LANGUAGES)
    (first, count), *others = counts.most_common() or [("", 0)]
    is_clear = count >= _MIN_WORDS and count >= _MIN_SHARE * len(words)
    return first if is_clear and count >= _MIN_LEAD * sum(other for _, other in others) else ""
