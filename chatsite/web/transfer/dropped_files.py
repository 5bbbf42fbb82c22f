"""What the browser says of files that are dropped on a page or pasted: sentences, and an import of the very files."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template

from chatsite.web.transfer.upload_admission import create_upload_token

bp = Blueprint("dropped_files", __name__)


@dataclass(frozen=True)
class DroppedFilesView:
    """What the form that imports the files needs: their names and contents stay in the browser until it is sent."""

    upload_token: str


@bp.get("/dropped-files")
def show() -> str:
    """Render all sentences that a script may need, and the import form; no page contains them from the beginning."""
    return render_template("dropped_files/notices.partials.html", view=DroppedFilesView(create_upload_token()))
