"""Views of the search page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chatsite.services.search.filters import remove_filters
from chatsite.services.search.search import SearchResults
from chatsite.web.core.page_view import PageView
from chatsite.web.search.filters import SearchFilters


@dataclass(frozen=True)
class ResultsView:
    """The results of a query in the order of `sort`. `examples` are shown for an empty query.

    `filters` is None where there is no room for them.
    """

    results: SearchResults
    query_text: str
    sort: str
    filters: SearchFilters | None = None
    examples: Sequence[tuple[str, str]] = ()

    @property
    def words_only(self) -> str:
        """The query without its filters."""
        return remove_filters(self.query_text)


@dataclass(frozen=True, kw_only=True)
class SearchPage(PageView):
    """The search form with its results."""

    search: ResultsView
    max_query_chars: int
