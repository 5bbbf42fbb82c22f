"""The answer to a request that names a host which is not admitted: what to set, without a session or the database."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Response, make_response, render_template, request
from flask_babel import gettext

from chatsite.errors import gettext_noop
from chatsite.hosts import normalize_host
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.site_addresses import start_command, working_url

UNTRUSTED_HOST_MESSAGE = gettext_noop(
    "This address isn't allowed yet. The administrator can add it with CHATSITE_TRUSTED_HOSTS."
)


@dataclass(frozen=True)
class UntrustedHostPage:
    """What to do about a host that is not admitted. `host` and `command` are empty if it can be no host name."""

    host: str
    command: str
    working_url: str | None


def untrusted_host_response() -> Response:
    """Return a page for a browser that was led here by an address, and a sentence for everything else."""
    if htmx_headers().wants_fragment or "text/html" not in request.headers.get("Accept", ""):
        return make_response(gettext(UNTRUSTED_HOST_MESSAGE) + "\n", 400, {"Content-Type": "text/plain; charset=utf-8"})
    host = normalize_host(request.host).lstrip(".")
    command = start_command(CHATSITE_TRUSTED_HOSTS=host) if host else ""
    view = UntrustedHostPage(host, command, working_url())
    return make_response(render_template("errors/untrusted_host.html", view=view), 400)
