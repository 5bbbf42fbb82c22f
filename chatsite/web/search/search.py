"""The search page."""

from __future__ import annotations

from flask import Blueprint, Flask, render_template, request
from flask_babel import get_timezone
from markupsafe import Markup

from chatsite.errors import gettext_noop
from chatsite.rendering import snippets
from chatsite.rendering.text import text_around
from chatsite.services.search import ranking, search
from chatsite.services.search.query import MAX_QUERY_CHARS, Query
from chatsite.services.search.search import SearchResults, Sort
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_user
from chatsite.web.search.filters import build_filters
from chatsite.web.search.views import ResultsView, SearchPage

bp = Blueprint("search", __name__)

EXAMPLES = (
    (gettext_noop("bread oven"), gettext_noop("both words, in any order")),
    (gettext_noop('"bread oven"'), gettext_noop("these words in this order")),
    (gettext_noop("bak*"), gettext_noop("words that start like this")),
    (gettext_noop("bread -white"), gettext_noop("one word without the other")),
    (gettext_noop("in:title bread"), gettext_noop("titles only")),
    (gettext_noop("by:me bread"), gettext_noop("your messages; by:model finds answers")),
    (gettext_noop("after:2025 before:2026-03"), gettext_noop("from 2025 on, until the end of February 2026")),
    (gettext_noop("tag:recipes"), gettext_noop("chats with this tag")),
    (gettext_noop("model:blenderbot"), gettext_noop("answers of this model")),
)


def init_app(app: Flask) -> None:
    """Register the template filters `search_snippet` and `highlight_matches`."""
    app.jinja_env.filters["search_snippet"] = render_snippet
    app.jinja_env.filters["highlight_matches"] = highlight_matches


@bp.get("/search")
def index() -> str:
    """Show the results for `?q=`, newest first or by relevance (`?sort=`); `?after=` is the cursor of the next page.

    htmx gets the results, or only the rows of the next page. Raises NotFoundError for a malformed cursor.
    """
    query_text, after = _query_text(), request.args.get("after")
    sort = Sort.RELEVANCE if request.args.get("sort") == Sort.RELEVANCE else Sort.NEWEST
    results = _run_search(query_text, sort, after)
    view = ResultsView(results, query_text, sort.value, build_filters(query_text, sort.value), EXAMPLES)
    if htmx_headers().wants_fragment:
        return render_template("search/next_page.partials.html" if after else "search/results.partials.html", view=view)
    page = SearchPage(search=view, max_query_chars=MAX_QUERY_CHARS, parent=None)
    return render_template("search/index.html", view=page)


def render_snippet(text: str, query: Query) -> Markup:
    """Return the part of a Markdown text around the matches of a query as it is read, with the matches marked."""
    spans = ranking.match_spans(text, query)
    shown = text_around(text, spans[0][0] if spans else 0)
    shown_spans = ranking.match_spans(shown, query)
    # What was found may be an address, which is seen only in the source.
    return snippets.build_snippet(*((shown, shown_spans) if shown_spans or not spans else (text, spans)))


def highlight_matches(text: str, query: Query) -> Markup:
    """Return a text with the matches of a query marked."""
    return snippets.highlight_matches(text, ranking.match_spans(text, query))


def _query_text() -> str:
    return request.args.get("q", "")[:MAX_QUERY_CHARS]


def _run_search(query_text: str, sort: Sort, after: str | None) -> SearchResults:
    options = search.SearchOptions(sort=sort, after=after, zone=get_timezone())
    return search.search(current_user(), query_text, options)
