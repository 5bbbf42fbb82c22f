"""The state of the model, as a line that keeps itself up to date until the model is ready."""

from __future__ import annotations

from flask import Blueprint

from chatsite.web.fragments import fragment

bp = Blueprint("models", __name__)


@bp.get("/model/status")
def status() -> str:
    """The line in the composer that says whether the model is ready, loading, or missing."""
    return fragment("models/_status.html")
