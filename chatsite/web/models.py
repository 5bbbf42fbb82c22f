"""Models: what each is good for, what is of it on this machine, and how it gets here and goes again."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.errors import ModelsLockedError
from chatsite.services import models
from chatsite.services.models import Card
from chatsite.web.access import known_models
from chatsite.web.cards import announcement, answering, phase
from chatsite.web.fragments import fragment, sidebar
from chatsite.web.htmx import headers

bp = Blueprint("models", __name__)


@bp.get("/models")
def index() -> str:
    """All models as cards: those that can answer first, then those on their way, and the smaller before the larger."""
    found = models.cards(known_models())
    found.sort(key=lambda card: (not card.ready, not card.pulling, card.entry.parameters))
    return render_template("models/index.html", cards=found, free=free(), sidebar=sidebar())


@bp.get("/models/<path:name>")
def show(name: str) -> str:
    """One model, with everything that is known of it. Raises ModelUnknownError."""
    return render_template("models/show.html", card=models.get(known_models(), name), free=free(), sidebar=sidebar())


@bp.get("/models/<path:name>/weights")
def weights(name: str) -> Response | str:
    """What is of the model on this machine; without htmx, its page. `?was=` is the phase that the reader knows."""
    return panel(name, request.args.get("was"))


@bp.post("/models/<path:name>/weights")
def create(name: str) -> Response | str:
    """Have the model fetched. Raises ModelsLockedError and what the service raises."""
    refuse_unless_manageable(name)
    models.pull(known_models(), name)
    return panel(name, "", focus=True)


@bp.get("/models/<path:name>/weights/removal")
def confirm(name: str) -> str:
    """Ask whether the model is to be removed. Raises ModelsLockedError and ModelUnknownError."""
    card = refuse_unless_manageable(name)
    if headers().wants_fragment:
        return fragment("models/_removal.html", card=card)
    return render_template("models/removal.html", card=card, sidebar=sidebar())


@bp.delete("/models/<path:name>/weights")
def destroy(name: str) -> Response | str:
    """Have the model removed, or its pull given up. Raises ModelsLockedError and what the service raises."""
    refuse_unless_manageable(name)
    models.remove(known_models(), name)
    return panel(name, "", focus=True)


@bp.get("/model/status")
def status() -> str:
    """The line in the composer that says whether the model named last in `?model=` can answer.

    Raises ModelUnknownError.
    """
    names = request.args.getlist("model")
    card = models.get(known_models(), names[-1]) if names else answering(None)
    return fragment("models/_status.html", card=card)


def free() -> int:
    """How many bytes the disk of the models still has room for."""
    return models.free(current_app.config["MODELS"])


def panel(name: str, was: str | None, focus: bool = False) -> Response | str:
    """The part of a card that changes, to take its own place; without htmx, the way to the model's page.

    A phase other than `was` is announced. With `focus` the keyboard goes on from there.
    """
    card = models.get(known_models(), name)
    if not headers().wants_fragment:
        return redirect(url_for("models.show", name=name), code=303)
    news = announcement(card) if was is not None and was != phase(card) else ""
    return fragment("models/_panel.html", card=card, free=free(), news=news, focus=focus)


def refuse_unless_manageable(name: str) -> Card:
    """The card of a model that may be pulled and removed here. Raises ModelUnknownError, then ModelsLockedError."""
    card = models.get(known_models(), name)
    if not current_app.config["MANAGE_MODELS"]:
        raise ModelsLockedError(name=card.name)
    return card
