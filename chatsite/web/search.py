"""The search page, and what the box in the sidebar shows while one types into it."""

from __future__ import annotations

from flask import Blueprint, Flask, redirect, render_template, request, url_for
from flask_babel import get_timezone
from markupsafe import Markup
from werkzeug.wrappers import Response

from chatsite.errors import sentence
from chatsite.rendering import snippets
from chatsite.services import search, search_matches
from chatsite.services.search import Found, Sort
from chatsite.services.search_query import QUERY_CHARS, Query
from chatsite.web.access import visitor
from chatsite.web.fragments import fragment, sidebar
from chatsite.web.htmx import headers

bp = Blueprint("search", __name__)

QUICK_SIZE = 6
EXAMPLES = (
    (sentence("bread oven"), sentence("both words, in any order")),
    (sentence('"bread oven"'), sentence("these words, one after the other")),
    (sentence("bak*"), sentence("words that begin like this")),
    (sentence("bread -white"), sentence("one word without the other")),
    (sentence("in:title bread"), sentence("titles only")),
    (sentence("by:me bread"), sentence("what you wrote; by:model is what was answered")),
    (sentence("after:2025 before:2026-03"), sentence("from 2025 on, until the end of February 2026")),
    (sentence("tag:recipes"), sentence("conversations with this tag")),
    (sentence("model:blenderbot"), sentence("answers of this model")),
)


def init_app(app: Flask) -> None:
    """What templates need to show what was found."""
    app.jinja_env.filters["snippet"] = snippet
    app.jinja_env.filters["marked"] = marked
    app.jinja_env.globals["search_examples"] = EXAMPLES


@bp.get("/search")
def index() -> str:
    """What fits `?q=`, the newest first or the most fitting (`?sort=`); `?after=` is a further page.

    htmx gets the results, or the rows of the further page.
    """
    typed, after = _typed(), request.args.get("after")
    sort = Sort.RELEVANCE if request.args.get("sort") == Sort.RELEVANCE else Sort.NEWEST
    found = _find(typed, sort, after)
    values = {"found": found, "typed": typed, "sort": sort.value, "after": after}
    if headers().wants_fragment:
        return fragment("search/_more.html" if after else "search/_answer.html", **values)
    return render_template("search/index.html", **values, query_chars=QUERY_CHARS, sidebar=sidebar())


@bp.get("/search/quick")
def quick() -> Response | str:
    """The first of what fits, for the sidebar; without htmx the way to the search page."""
    typed = _typed()
    if not headers().wants_fragment:
        return redirect(url_for("search.index", q=typed), code=303)
    return fragment("search/_quick.html", found=_find(typed, Sort.NEWEST, None, QUICK_SIZE), typed=typed)


def snippet(text: str, query: Query) -> Markup:
    """The piece of a text where the words of a query are, marked."""
    return snippets.snippet(text, search_matches.spans(text, query))


def marked(text: str, query: Query) -> Markup:
    """A text with the words of a query marked."""
    return snippets.marked(text, search_matches.spans(text, query))


def _typed() -> str:
    return request.args.get("q", "")[:QUERY_CHARS]


def _find(typed: str, sort: Sort, after: str | None, size: int = search.PAGE_SIZE) -> Found:
    return search.find(visitor(), typed, sort, after, get_timezone(), size)
