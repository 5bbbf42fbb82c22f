"""Endpoints: look for servers on this computer, add one, have it asked again, and remove it.

Visitors never enter addresses: what can be added stands in the settings, or was found at one of a few fixed ports.
"""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.errors import EndpointManagementDisabledError
from chatsite.services.models import endpoints
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import catalog_config
from chatsite.web.models.advice import may_manage_models
from chatsite.web.models.endpoint_views import build_endpoints_view

bp = Blueprint("endpoints", __name__)


@bp.get("/endpoints")
def index() -> Response | str:
    """Render the servers on the page of models; without htmx, redirect there.

    `?known_state=` is what the page shows; its end is announced.
    """
    return _render_endpoints(request.args.get("known_state", ""))


@bp.post("/endpoints/discovery")
def discover() -> Response | str:
    """Request a look for servers on this computer. Raises EndpointManagementDisabledError."""
    _require_manageable()
    endpoints.request_discovery()
    return _render_endpoints(has_focus=True)


@bp.post("/endpoints/<name>")
def create(name: str) -> Response | str:
    """Add a server that was found. Raises EndpointManagementDisabledError, EndpointNotFoundError."""
    _require_manageable()
    endpoints.add(name)
    return _render_endpoints(has_focus=True)


@bp.post("/endpoints/<name>/check")
def check(name: str) -> Response | str:
    """Request that an endpoint is asked again. Raises EndpointManagementDisabledError, EndpointNotFoundError."""
    _require_manageable()
    endpoints.request_check(catalog_config(), name)
    return _render_endpoints(has_focus=True)


@bp.delete("/endpoints/<name>")
def destroy(name: str) -> Response | str:
    """Take an endpoint from the site.

    Raises EndpointManagementDisabledError, EndpointNotFoundError, EndpointConfiguredError.
    """
    _require_manageable()
    endpoints.remove(catalog_config(), name)
    return _render_endpoints(has_focus=True)


def _require_manageable() -> None:
    if not may_manage_models():
        raise EndpointManagementDisabledError


def _render_endpoints(known_state: str = "", *, has_focus: bool = False) -> Response | str:
    if not htmx_headers().wants_fragment:
        return redirect(url_for("models.index", _anchor="endpoints"), code=303)
    view = build_endpoints_view(known_state=known_state, has_focus=has_focus)
    return render_template("endpoints/index.partials.html", view=view)
