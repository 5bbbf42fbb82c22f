"""Models: list the catalog, show one model, download and remove its weights."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.errors import ModelManagementDisabledError
from chatsite.services.models import catalog
from chatsite.services.models.catalog import ModelCard
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import catalog_config
from chatsite.web.core.page_view import ParentLink
from chatsite.web.core.security import safe_redirect_path
from chatsite.web.core.templating import render_macro
from chatsite.web.models.advice import may_manage_models
from chatsite.web.models.views import (
    ConfirmRemovalPage,
    ModelPage,
    RemovalForm,
    WeightsView,
    build_model_view,
    build_models_page,
    find_next_model,
    load_composer_status,
    model_status,
    status_announcement,
)

bp = Blueprint("models", __name__)


@bp.get("/models")
def index() -> str:
    """List all models in groups: ready ones first, then downloading ones, and smaller ones before larger ones."""
    cards = catalog.list_cards(catalog_config())
    cards.sort(key=lambda card: (not card.is_ready, not card.is_downloading, card.entry.parameter_count))
    return render_template("models/index.html", view=build_models_page(cards, free_disk_bytes()))


@bp.get("/models/<path:name>")
def show(name: str) -> str:
    """Show everything that is known about one model. Raises ModelNotFoundError."""
    model = build_model_view(catalog.get_card(catalog_config(), name), free_disk_bytes())
    parent = ParentLink(url_for("models.index"), gettext("Models"))
    return render_template("models/show.html", view=ModelPage(model=model, parent=parent))


@bp.get("/models/<path:name>/weights")
def show_weights(name: str) -> Response | str:
    """Render the state of the weights on this machine; without htmx, redirect to the page of the model.

    `?known_state=` is the state that the card shows. Raises ModelNotFoundError.
    """
    return render_weights(name, request.args.get("known_state"))


@bp.post("/models/<path:name>/weights")
def create(name: str) -> Response | str:
    """Request the download of a model; with the form field `answers_new_chats` it is to answer new conversations.

    The form field `next` is the page to return to. Raises ModelNotFoundError, ModelManagementDisabledError,
    ModelAlreadyDownloadedError, ModelBusyError, ModelNotDownloadableError.
    """
    require_manageable(name)
    catalog.request_download(catalog_config(), name, answers_new_chats="answers_new_chats" in request.form)
    return _redirect_to_next() or render_weights(name, "", focus=True)


@bp.put("/models/<path:name>/default")
def choose(name: str) -> Response:
    """Let a model answer new conversations. The form field `next` is the page to return to.

    Raises ModelNotFoundError, ModelManagementDisabledError, DefaultModelConfiguredError, ModelNotDownloadedError.
    """
    require_manageable(name)
    catalog.choose_default(catalog_config(), name)
    return _redirect_to_next() or redirect(url_for("models.show", name=name), code=303)


@bp.get("/models/<path:name>/weights/removal")
def confirm(name: str) -> str:
    """Ask for confirmation before a model is removed. Raises ModelNotFoundError, ModelManagementDisabledError."""
    card = require_manageable(name)
    if htmx_headers().wants_fragment:
        return render_macro("models/_removal_form.html", "removal_form", RemovalForm(card))
    parent = ParentLink(url_for("models.show", name=card.name), card.entry.title)
    view = ConfirmRemovalPage(form=RemovalForm(card), parent=parent)
    return render_template("models/confirm_removal.html", view=view)


@bp.delete("/models/<path:name>/weights")
def destroy(name: str) -> Response | str:
    """Request the removal of a model, or cancel its download.

    Raises ModelNotFoundError, ModelManagementDisabledError, DefaultModelInUseError, ModelNotDownloadableError,
    ModelBusyError, ModelNotDownloadedError.
    """
    require_manageable(name)
    catalog.request_removal(catalog_config(), name)
    return render_weights(name, "", focus=True)


@bp.get("/model-status")
def show_status() -> str:
    """Render the line in the composer that says whether the model in the last `?model=` is available.

    Raises ModelNotFoundError.
    """
    names = request.args.getlist("model")
    card = catalog.get_card(catalog_config(), names[-1]) if names else find_next_model(None)
    return render_macro("models/_composer_model_status.html", "composer_model_status", load_composer_status(card))


def free_disk_bytes() -> int:
    """Return the free bytes on the disk of the models folder."""
    return catalog.free_disk_bytes(current_app.config["MODELS"])


def render_weights(name: str, known_status: str | None, focus: bool = False) -> Response | str:
    """Render the part of a model card that changes; without htmx, redirect to the page of the model.

    A status other than `known_status` is announced; None announces nothing. With `focus` the status gets the keyboard
    focus. Raises ModelNotFoundError.
    """
    card = catalog.get_card(catalog_config(), name)
    if not htmx_headers().wants_fragment:
        return redirect(url_for("models.show", name=name), code=303)
    announcement = status_announcement(card) if known_status is not None and known_status != model_status(card) else ""
    view = WeightsView(build_model_view(card, free_disk_bytes(), focus), announcement)
    return render_template("models/weights.partials.html", view=view)


def _redirect_to_next() -> Response | None:
    """Return the redirect to the page that the form names in `next`, or None if it names none."""
    return_url = request.form.get("next")
    return redirect(safe_redirect_path(return_url), code=303) if return_url else None


def require_manageable(name: str) -> ModelCard:
    """Return the card of a model that may be downloaded and removed on this site.

    Raises ModelNotFoundError, then ModelManagementDisabledError.
    """
    card = catalog.get_card(catalog_config(), name)
    if not may_manage_models():
        raise ModelManagementDisabledError(name=card.name)
    return card
