"""Titles by a model: what it is asked, and what of its text is a title."""

from __future__ import annotations

import re

from chatsite.engine.types import Turn
from chatsite.visible_text import visible_line

MAX_TITLE_CHARS = 60
# What a conversation is about is said at its beginning, and a small model reads slowly.
MAX_QUESTION_CHARS = 600
MAX_ANSWER_CHARS = 400
# Small models answer in the language that they are asked in.
ENGLISH_REQUEST = (
    "Write a title of at most six words for this conversation, in the language of the question. "
    "Answer with the title only.\n\nQuestion: {question}\n\nAnswer: {answer}"
)
SPANISH_REQUEST = (
    "Escribe un título de seis palabras como máximo para esta conversación, en español. "
    "Responde solo con el título.\n\nPregunta: {question}\n\nRespuesta: {answer}"
)
_SPANISH_MARK = re.compile(r"[¿¡ñ]")
_SPANISH_WORD = re.compile(
    r"\b(?:el|la|los|las|un|una|de|del|que|qué|en|es|con|para|por|cómo|como|cuál|y|mi|me|se)\b", re.IGNORECASE
)
_ENGLISH_WORD = re.compile(
    r"\b(?:the|a|an|of|that|what|in|is|are|with|for|to|how|which|and|my|me|do|does|it)\b", re.IGNORECASE
)

_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_LABEL = re.compile(r"(?:\#+\s+|[*_]*(?:the\s+)?(?:title|título|titulo)\s*[*_]*\s*:\s*[*_]*)", re.IGNORECASE)
_PAIRS = (
    *(("**", "**"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'), ("'", "'")),
    *(("\u201c", "\u201d"), ("\u2018", "\u2019"), ("«", "»")),
)
_UNUSABLE = re.compile(
    r"""(?: i\W?m \s+ (?: sorry | unable ) | i \s+ am \s+ (?: sorry | unable ) | sorry \b
      | i \s+ can(?: \W?t | \s? not ) \b | as \s+ an? \s+ (?: ai | language ) \b
      | here (?: \W?s | \s+ is | \s+ are ) \b | (?: sure | certainly | of \s+ course ) [,!.:]
      | lo \s+ siento | no \s+ puedo | como \s+ (?: una? \s+ )? (?: ia | inteligencia | modelo ) \b
      | aquí \s+ (?: tienes | está ) | (?: claro | por \s+ supuesto ) [,!.:] | < /? think )""",
    re.IGNORECASE | re.VERBOSE,
)
_LETTER_OR_NUMBER = re.compile(r"[^\W_]")


def build_turns(question: str, answer: str) -> tuple[Turn, ...]:
    """Return what a model reads that is asked for the title of a conversation."""
    request = SPANISH_REQUEST if _looks_spanish(question) else ENGLISH_REQUEST
    return (Turn("user", request.format(question=question[:MAX_QUESTION_CHARS], answer=answer[:MAX_ANSWER_CHARS])),)


def clean_title(text: str, question: str) -> str:
    """Return the title in the text of a model, without the marks around it; empty if the text is no title.

    It is none if it has several lines or more than MAX_TITLE_CHARS characters, refuses, or repeats the question.
    """
    text = _THOUGHT.sub("", text, count=1).strip()
    if len(text.splitlines()) != 1:
        return ""
    title = _strip_marks(visible_line(text))
    is_title = (
        len(title) <= MAX_TITLE_CHARS
        and _LETTER_OR_NUMBER.search(title)
        and not _UNUSABLE.match(title)
        and not title.endswith(":")
        # The end of a quotation is missing.
        and title.count('"') % 2 == 0
        and _plain(title) != _plain(visible_line(question))
    )
    return title if is_title else ""


def _strip_marks(title: str) -> str:
    """Return a title without "Title:" before it, quotation marks and Markdown around it, and a full stop behind it."""
    before = None
    while title != before:
        before = title
        title = _LABEL.sub("", title, count=1) if _LABEL.match(title) else title
        title = _unwrap(title.strip())
        if title.endswith(".") and not title.endswith(".."):
            title = title[:-1].rstrip()
    return title


def _unwrap(title: str) -> str:
    for begin, end in _PAIRS:
        inner = title[len(begin) : -len(end)]
        if title.startswith(begin) and title.endswith(end) and inner and begin not in inner and end not in inner:
            return inner.strip()
    return title


def _plain(line: str) -> str:
    return line.casefold().strip(" ¿?¡!.\"'")


def _looks_spanish(text: str) -> bool:
    return bool(_SPANISH_MARK.search(text)) or len(_SPANISH_WORD.findall(text)) > len(_ENGLISH_WORD.findall(text))
