"""The filters below the search box: links that write an operator into it, or take it out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import url_for
from flask_babel import get_timezone, gettext, pgettext

from chatsite.services.models import catalog
from chatsite.services.organize import tags
from chatsite.services.search.filters import filter_value, find_filter, make_filter, set_filter
from chatsite.web.core.identity import catalog_config, current_user


@dataclass(frozen=True)
class FilterOption:
    """One value of a filter, and the address of the search with it; without it if it is selected."""

    label: str
    url: str
    is_selected: bool


@dataclass(frozen=True)
class FilterMenu:
    """A filter with several values; `label` says what is selected."""

    label: str
    options: Sequence[FilterOption]
    is_active: bool


@dataclass(frozen=True)
class SearchFilters:
    """All filters of a query."""

    menus: Sequence[FilterMenu]
    toggles: Sequence[FilterOption]


def build_filters(query_text: str, sort: str) -> SearchFilters:
    """Build the filters for a query, with operators in the language of the reader."""
    tag_name, model_name = pgettext("search operator", "tag"), pgettext("search operator", "model")
    tag_values = [(tag.name, make_filter(tag_name, tag.name)) for tag in tags.list_for(current_user())]
    cards = catalog.list_available(catalog_config())
    model_values = [(card.entry.title, make_filter(model_name, card.name)) for card in cards]
    date_link, tag_link, model_link, role_link, title_link = (
        _FilterLink(query_text, sort, names) for names in (("after", "before"), ("tag",), ("model",), ("by",), ("in",))
    )
    menus = [
        date_link.menu(gettext("Anytime"), _date_values()),
        tag_link.menu(gettext("Any tag"), tag_values),
        model_link.menu(gettext("Any model"), model_values),
    ]
    toggles = [
        role_link.option(gettext("My messages"), gettext("by:me")),
        role_link.option(gettext("Answers"), gettext("by:model")),
        title_link.option(gettext("Titles only"), gettext("in:title")),
    ]
    return SearchFilters([menu for menu in menus if menu.options], toggles)


def _date_values() -> list[tuple[str, str]]:
    """Return spans of time with their operators."""
    name, today = pgettext("search operator", "after"), datetime.now(get_timezone()).date()
    return [
        (gettext("Last 7 days"), f"{name}:{today - timedelta(days=7)}"),
        (gettext("Last 30 days"), f"{name}:{today - timedelta(days=30)}"),
        (gettext("This year"), f"{name}:{today.year}"),
    ]


@dataclass(frozen=True)
class _FilterLink:
    """The filter with one of the names `names` in a query, and the links that change it."""

    query_text: str
    sort: str
    names: Collection[str]

    def menu(self, all_label: str, values: Iterable[tuple[str, str]]) -> FilterMenu:
        """Build a menu of labels and operators, which is called `all_label` while nothing is selected."""
        options = [self.option(label, token) for label, token in values]
        current = find_filter(self.query_text, self.names)
        selected = next((option.label for option in options if option.is_selected), None)
        label = selected or (filter_value(current) if current else all_label)
        return FilterMenu(label, options, current is not None)

    def option(self, label: str, token: str) -> FilterOption:
        """Build the link that sets the filter to an operator, or removes it if it is set so."""
        current = find_filter(self.query_text, self.names)
        is_selected = current is not None and filter_value(current).casefold() == filter_value(token).casefold()
        query = set_filter(self.query_text, self.names, "" if is_selected else token)
        return FilterOption(label, url_for("search.index", q=query, sort=self.sort), is_selected)
