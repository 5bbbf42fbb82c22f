"""Every sentence is in both languages, and no page mixes them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from flask import Flask
from markupsafe import escape

from chatsite.i18n import format_list_heading
from chatsite.settings import LANGUAGES, ROOT
from tests.core.test_templates import NAMES, TAG, pages, source
from tests.support.web_fixtures import WebClient, message_ids

TRANSLATIONS = ROOT / "chatsite" / "translations"
KEYWORDS = {**DEFAULT_KEYWORDS, "gettext_noop": None}
PLACE = re.compile(r"%\(\w+\)s")
SHOWN = {"aria-label", "title", "placeholder", "alt", "label", "content"}
# Names are the same in every language.
NAMES_OF_THINGS = {"chatsite"}
LETTERS = re.compile(r"[^\W\d_]{2,}")


def ids_in_code() -> set[str | tuple[str, ...]]:
    """All texts that code and templates mark for translation."""
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    found: set[str | tuple[str, ...]] = set()
    for top in ("chatsite", "templates"):
        mapping = [(pattern.removeprefix(f"{top}/"), method) for pattern, method in methods if pattern.startswith(top)]
        choices = {pattern.removeprefix(f"{top}/"): values for pattern, values in options.items()}
        for _, _, text, _, _ in extract_from_dir(ROOT / top, mapping, choices, KEYWORDS):
            found.add(text)
    return found


def catalog_path(language: str) -> Path:
    return TRANSLATIONS / language / "LC_MESSAGES" / "messages.po"


def read_catalog(language: str) -> Catalog:
    with catalog_path(language).open("rb") as file:
        return read_po(file, locale=language)


@pytest.fixture(scope="module")
def spanish() -> Catalog:
    """The Spanish catalogue."""
    return read_catalog("es")


@pytest.fixture(scope="module", params=[code for code in LANGUAGES if code != "en"])
def catalog(request: pytest.FixtureRequest) -> Catalog:
    """The catalogue of each language but English, which is in the code."""
    return read_catalog(request.param)


def test_every_catalog_belongs_to_a_language_that_can_be_chosen() -> None:
    assert {path.name for path in TRANSLATIONS.iterdir()} == set(LANGUAGES) - {"en"}


def test_catalog_matches_texts_in_code(catalog: Catalog) -> None:
    translated = {message.id for message in catalog if message.id}
    assert ids_in_code() == translated


def test_no_translation_is_empty_or_fuzzy(catalog: Catalog) -> None:
    for message in catalog:
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(texts), message.id
        assert not message.fuzzy, message.id


# About talking, names of files, and words by which the palette finds an action too.
ABOUT_TALKING = re.compile(
    r"Reddit|hold a conversation|remember the conversation|trained on conversations|conversations\.json|"
    r"archived chats conversations|conversation start begin|conversations select many bulk"
)


def test_readers_are_told_of_chats_and_not_of_conversations(spanish: Catalog) -> None:
    for message in spanish:
        ids, texts = ([text] if isinstance(text, str) else text for text in (message.id, message.string or ""))
        if not ABOUT_TALKING.search(ids[0]):
            assert not re.search("conversation|conversaci[oó]n", " ".join((*ids, *texts)).lower()), message.id


def test_translations_keep_placeholders(catalog: Catalog) -> None:
    for message in catalog:
        if message.id:
            assert [str(error) for error in message.check(catalog)] == []
            ids, texts = (
                [text] if isinstance(text, str) else list(text) for text in (message.id, message.string or "")
            )
            # One of something may be said without its number.
            singular = (ids.pop(0), texts.pop(0)) if len(ids) > 1 else ()
            places = {frozenset(PLACE.findall(text)) for text in (*ids, *texts)}
            assert len(places) == 1, message.id
            assert all(set(PLACE.findall(text)) | {"%(num)s"} >= set(*places) for text in singular), message.id


def test_compiled_catalog_is_up_to_date(catalog: Catalog) -> None:
    made = io.BytesIO()
    write_mo(made, catalog)
    made.seek(0)
    with catalog_path(str(catalog.locale)).with_suffix(".mo").open("rb") as file:
        shipped, compiled = (read_mo(each) for each in (file, made))
    texts = [[(message.id, message.string) for message in each if message.id] for each in (shipped, compiled)]
    assert texts[0] == texts[1], "Compile it: see docs/design.md."


# Attributes for scripts that hold selectors, the kind of an element, or the name of what belongs to it.
UNREAD = {"data-arrows", "data-clicks", "data-kind", "data-leads"}


def is_read(attribute: str) -> bool:
    """Whether an attribute holds words."""
    return attribute in SHOWN or (attribute.startswith("data-") and attribute not in UNREAD)


class Literals(HTMLParser):
    """What a reader would see of a template's own text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            read = [value or "" for name, value in attrs if is_read(name)]
            self.found += read

    def handle_data(self, data: str) -> None:
        self.found.append(data)


# The style guide is for those who change the site, and what they read is English.
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("styleguide/")])
def test_templates_contain_no_untranslated_text(name: str) -> None:
    literals = Literals()
    # What writes the name of a tag leaves a tag without one, which would be read as text.
    markup = re.sub(r"(</?)\{\{.*?\}\}", r"\1div", source(name))
    # A macro may give out attributes of htmx alone, which no tag is around.
    literals.feed(TAG.sub("", re.sub(r'\bhx-[\w:-]+="[^"]*"', "", markup)))
    words = {word for text in literals.found for word in LETTERS.findall(text)}
    assert not words - NAMES_OF_THINGS


def english_only(spanish: Catalog) -> Iterator[str]:
    """The texts that a Spanish page must not have: whole ones, without places, that Spanish says otherwise."""
    for message in spanish:
        text, other = (message.id, message.string) if isinstance(message.id, str) else ("", "")
        if text and text != other and "%(" not in text and len(text) > 3:
            yield text


def test_spanish_pages_contain_no_english_text(
    alice: WebClient, finish_answers: Callable[..., None], spanish: Catalog
) -> None:
    alice.client.set_cookie("chatsite_language", "es")
    finish_answers()
    for html in pages(alice, finish_answers):
        assert '<html lang="es"' in html
        # What a choice sends is not read, and what is said to be English may be.
        shown = re.sub(
            r'<(?:script|link|meta|use)[^>]*>| (?:type="radio" )?name="\w+" value="[^"]*"|<a [^>]*lang="en".*?</a>',
            "",
            html,
            flags=re.DOTALL,
        )
        for text in english_only(spanish):
            assert not re.search(rf"[>\"]\s*{re.escape(str(escape(text)))}\s*[<\"]", shown), text


def test_chosen_language_is_remembered(alice: WebClient) -> None:
    assert '<html lang="en"' in alice.get("/").text
    alice.send_form("POST", "/preferences", language="es")
    assert "Nuevo chat" in alice.get("/").text
    alice.send_form("POST", "/preferences", language="en")
    assert "New chat" in alice.get("/").text


def test_numbers_and_dates_are_formatted_for_locale(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    conversation = alice.start_conversation("Una pregunta")
    alice.client.set_cookie("chatsite_language", "es")
    finish_answers()
    page = alice.get(f"/conversations/{conversation}").text
    assert "Hoy" in page
    report = alice.get(f"/messages/{message_ids(page)[-1]}/prompt-report").text
    assert re.search(r"Tiempo hasta la primera palabra</dt>\s*<dd>\d,\d s</dd>", report)


@pytest.mark.parametrize(
    ("ago", "english", "spanish"),
    [
        (0, "Today", "Hoy"),
        (1, "Yesterday", "Ayer"),
        (2, "Last 7 days", "Últimos 7 días"),
        (7, "Last 7 days", "Últimos 7 días"),
        (8, "Last 30 days", "Últimos 30 días"),
        (30, "Last 30 days", "Últimos 30 días"),
    ],
)
def test_recent_dates_get_period_headings(app: Flask, ago: int, english: str, spanish: str) -> None:
    when = datetime.now(UTC) - timedelta(days=ago)
    for language, heading in (("en", english), ("es", spanish)):
        with app.test_request_context(headers={"Accept-Language": language}):
            assert format_list_heading(when) == heading


def test_older_dates_get_month_heading(app: Flask) -> None:
    when = datetime(2001, 10, 15, 12, tzinfo=UTC)
    for language, heading in (("en", "October 2001"), ("es", "Octubre de 2001")):
        with app.test_request_context(headers={"Accept-Language": language}):
            assert format_list_heading(when) == heading


def test_errors_are_translated_to_spanish(alice: WebClient) -> None:
    alice.client.set_cookie("chatsite_language", "es")
    assert "Escribe antes un mensaje." in alice.post_question(" ", htmx=True).text
    assert "Este mensaje tiene 9.000 caracteres" in alice.post_question("x" * 9000, htmx=True).text
