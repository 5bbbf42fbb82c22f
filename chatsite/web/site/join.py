"""The page for a screen in the room: the address of the site, and its QR code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template

from chatsite.qr_codes import QrCode, draw_qr_code
from chatsite.web.core.page_view import PageView
from chatsite.web.core.site_addresses import shared_urls, start_command

bp = Blueprint("join", __name__)


@dataclass(frozen=True, kw_only=True)
class JoinPage(PageView):
    """How other devices reach the site. Without a `url` the site is for this machine only.

    `command` is the line that starts it for the network.
    """

    url: str | None
    other_urls: Sequence[str]
    qr_code: QrCode | None
    command: str

    @property
    def short_url(self) -> str:
        """The address as it is typed: without a final slash, and without `http://`, which browsers add."""
        return (self.url or "").removeprefix("http://").rstrip("/")


@bp.get("/join")
def show() -> str:
    """Show how other devices reach the site."""
    urls = shared_urls()
    url = urls[0] if urls else None
    view = JoinPage(
        url=url,
        other_urls=urls[1:],
        qr_code=draw_qr_code(url) if url else None,
        command=start_command(HOST="0.0.0.0"),  # noqa: S104
    )
    return render_template("join/show.html", view=view)
