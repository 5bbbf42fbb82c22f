"""The card of the first visit: a model for this machine, chats from elsewhere, and the language, until it is closed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from chatsite import cookies
from chatsite.services.models import catalog
from chatsite.web.core.htmx import htmx_headers, htmx_response
from chatsite.web.core.page_view import load_sidebar
from chatsite.web.core.templating import render_macro
from chatsite.web.models.advice import OffersView, load_offers

bp = Blueprint("first_run", __name__)


@dataclass(frozen=True)
class FirstRunView:
    """The card: the question which model to download, and with `has_setup` the ways to import chats and to a language.

    `is_finished` says that the model that was asked for is here.
    """

    offers: OffersView | None
    has_setup: bool
    is_finished: bool = False


@bp.get("/first-run")
def show() -> Response | str:
    """Render the card, which asks again while a model is downloaded; without htmx, redirect to the front page."""
    if not htmx_headers().wants_fragment:
        return redirect(url_for("conversations.new"), code=303)
    card = build_first_run(bool(load_sidebar().page.items)) or FirstRunView(None, has_setup=False)
    card = replace(card, is_finished=card.offers is None)
    return render_macro("conversations/_first_run.html", "first_run_card", card)


@bp.delete("/first-run")
def destroy() -> Response:
    """Close the card in this browser; the models that it offered are not offered again to anybody."""
    offers = load_offers()
    if offers and not offers.is_in_progress:
        catalog.decline(card.name for card in offers.cards)
    url = url_for("conversations.new")
    response = htmx_response("") if htmx_headers().wants_fragment else redirect(url, code=303)
    cookies.set_cookie(response, cookies.FIRST_RUN, "closed")
    return response


def build_first_run(has_conversations: bool) -> FirstRunView | None:
    """Build the card; None if there is nothing to offer. Users with chats are not told how to begin."""
    offers = load_offers()
    has_setup = not has_conversations and not cookies.read_cookie(cookies.FIRST_RUN)
    return FirstRunView(offers, has_setup) if offers or has_setup else None
