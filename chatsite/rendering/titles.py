"""Titles of conversations, by rule: what a first message is about, without how it begins.

Greetings and courtesies say nothing about a conversation: "Hello! Could you please explain how rainbows form?" is
called "Explain how rainbows form". English and Spanish are known; what is in other languages only loses what does not
fit.
"""

from __future__ import annotations

import re

import regex

from chatsite.rendering.markdown_parser import normalize_source, parse_markdown
from chatsite.rendering.syntax.links import inline_text
from chatsite.rendering.text import MAX_TITLE_SOURCE_CHARS, shorten_line, title_from_text
from chatsite.visible_text import remove_invisible, visible_line

MAX_TITLE_CHARS = 60
# A sentence, or a part of one, that is shorter says too little.
_MIN_SENTENCE_CHARS = 12
_MIN_CLAUSE_CHARS = 10
_MAX_COURTESIES = 6

_GREETING = r"""
    (?: hello | hi | hey | greetings | good \s (?: morning | afternoon | evening | day )
      | hola | buenas | buenos \s d[ií]as | buenas \s (?: tardes | noches ) | saludos | ey )
    (?: \s (?: there | again | everyone | all | everybody | a \s todos | de \s nuevo | qu[eé] \s tal ) )?
    (?: \s* [,!.:;…\u2014\u2013]+ \s* | \s+ - \s+ | \s+ (?= [¿¡] )
      | \s+ (?= (?: can | could | would | please | i | what | how | puedes ) \b ) )
"""
# "So" and "look" are left alone without a mark behind them: "Look at this" is about something.
_FILLER = r"""
    (?: ok (?: ay )? | so | well | look | listen | now | anyway | right | mira | oye | bueno | vale | a \s ver | pues
      | por \s favor | porfa \w* | please | kindly | a \s question | una \s (?: pregunta | duda )
      | quick \s question | i \s have \s a \s question | tengo \s una \s (?: pregunta | duda )
      | how \s are \s you (?: \s doing | \s today )? | qu[eé] \s tal (?: est[aá]s? )? | c[oó]mo \s est[aá]s? )
    \s* (?: [,!.:;?…\u2014\u2013]+ | \s - \s ) \s*
  | (?: please | kindly | por \s favor ) \s+
"""
_COURTESY = r"""
    (?: do \s you \s think \s you \s could | i \s was \s wondering \s (?: if | whether ) \s you \s c(?: an | ould )
      | i (?: \s would | 'd | \u2019d ) \s (?: like | love ) \s you \s to | i \s (?: want | need ) \s you \s to
      | (?: can | could | would | will ) \s you (?: \s (?: please | kindly | maybe | possibly | just ) )*
      | would \s you \s mind )
    \s+ (?: (?: please | help \s me ) \s+ (?: to \s+ )? )?
  | i (?: \s would | 'd | \u2019d ) \s like \s to \s know \s+ | i \s want \s to \s know \s+
  | (?: please \s+ )? (?: tell \s me (?: \s about )? | help \s me (?: \s (?: to | with ) )? ) \s+
  | do \s you \s know \s+ (?= how | what | who | where | when | why )
  | (?: me \s )? (?: puedes? | podr[ií]as? | podr[eé]is | pod[eé]is ) (?: ,? \s por \s favor ,? )? \s+
    (?: (?: decirme | ayudarme (?: \s (?: a | con ) )? ) \s+ )?
  | (?: quiero | quisiera | necesito | me \s gustar[ií]a ) \s que \s me \s ayudes? \s (?: a | con ) \s+
  | (?: quisiera | quiero | me \s gustar[ií]a | necesito ) \s saber \s+
  | (?: dime | d[ií]game | cu[eé]ntame | ay[uú]dame (?: \s (?: a | con ) )? ) \s+
"""
_GREETING_START = re.compile(rf"[¿¡]?\s*(?:{_GREETING}|{_FILLER})", re.IGNORECASE | re.VERBOSE)
_COURTESY_START = re.compile(rf"[¿¡]?\s*(?:{_COURTESY})", re.IGNORECASE | re.VERBOSE)
# "recomendarme" without "puedes" before it is "recomendar".
_SPANISH_PRONOUN = re.compile(r"^(\w+[aei]r)(?:me|nos)\b", re.IGNORECASE)
_COURTESY_END = re.compile(r"[\s,]*\b(?:please|por favor|porfa|thanks|thank you|gracias)\s*[.!?]*$", re.IGNORECASE)
_URL = re.compile(r"https?://(?:www\.)?([^/\s?#]+)[^\s)]*")
# A full stop counts where a word of three letters is before it, which few abbreviations are.
_SENTENCE_END = regex.compile(r"(?:[!?…]+|(?<=\p{L}{3})\.)(?=\s+[\p{Lu}\p{N}¿¡\"“«])|(?<=\p{L}{3})[.!?…]+\s*$")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?[,.;:!?)»”\"]*")
_CLAUSE_END = re.compile(r"[,;:](?=\s)|\s[\u2014\u2013-](?=\s)")


def title_from_question(source: str, max_chars: int = MAX_TITLE_CHARS) -> str:
    """Return a title of at most `max_chars` characters for a conversation that begins with `source`.

    It is one line without Markdown marks and invisible characters, and ends in `…` where a sentence was cut. It is
    empty only if there is nothing to be seen in the beginning of `source`.
    """
    words = visible_line(_find_prose(remove_invisible(source[:MAX_TITLE_SOURCE_CHARS])))
    words = _URL.sub(r"\1", words)
    about = _strip_courtesies(words)
    if not regex.search(r"\p{L}{2}|\p{N}|\p{So}", about):
        title = title_from_text(source, max_chars)
    else:
        title = _shorten(about, max_chars)
    return title if source.lstrip().startswith("`") else _capitalize(title)


def _find_prose(source: str) -> str:
    """Return the first paragraph that is no code, or else the first line of the code; a heading counts as well."""
    code = ""
    for token in parse_markdown(normalize_source(source), {}):
        text = visible_line(inline_text(token.children) if token.children else "")
        if text and _strip_courtesies(text):
            return text
        code = code or (token.content.strip().partition("\n")[0] if token.type in {"fence", "code_block"} else "")
    return code


def _strip_courtesies(line: str) -> str:
    """Drop greetings and courtesies from the beginning and the end of a line; empty if there is nothing else."""
    line = _COURTESY_END.sub("", line)
    for _ in range(_MAX_COURTESIES):
        rest = _GREETING_START.sub("", line, count=1) if _GREETING_START.match(line) else line
        if found := _COURTESY_START.match(rest):
            rest = _SPANISH_PRONOUN.sub(r"\1", _drop_question_mark(rest[found.end() :]))
        if rest == line:
            break
        line = rest.strip()
    return line


def _drop_question_mark(request: str) -> str:
    """Drop the mark at the end of the first sentence: without its beginning it is no question any more."""
    end = _SENTENCE_END.search(request)
    if end is None:
        return request.rstrip("?!. ")
    return request[: end.start()] + "." + request[end.end() :]


def _shorten(line: str, max_chars: int) -> str:
    """Return the first sentence, or of a long one the part before a comma, or else as many words as fit."""
    ends = [end for end in _SENTENCE_END.finditer(line) if end.start() >= min(_MIN_SENTENCE_CHARS, len(line) - 1)]
    sentence = line[: ends[0].end()] if ends else line
    sentence = sentence.rstrip(" ,;:.…—–-") or line  # noqa: RUF001
    if len(sentence) <= max_chars:
        return sentence
    clauses = [end.start() for end in _CLAUSE_END.finditer(sentence) if _MIN_CLAUSE_CHARS <= end.start() <= max_chars]
    return sentence[: clauses[-1]] if clauses else shorten_line(sentence, max_chars)


def _capitalize(title: str) -> str:
    """Begin with a capital letter, unless the first word is a name of code, such as `npm.cmd` or `iPhone`."""
    first = title.partition(" ")[0].strip('¿¡"“«(')
    if not (first.islower() and _WORD.fullmatch(first)):
        return title
    at = title.index(first)
    return title[:at] + title[at].upper() + title[at + 1 :]
