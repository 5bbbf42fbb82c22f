"""The addresses of the site for people who are not on it yet, and the line that makes it answer to another one."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import current_app, request

from chatsite.addresses import DEFAULT_PORT, listener_urls
from chatsite.client_addresses import parse_client_address
from chatsite.hosts import is_admitted, is_loopback, parse_address, url_host
from chatsite.web.core.sub_path import front_page


def is_host_admitted(host: str) -> bool:
    """Return whether the site answers to a host with or without a port."""
    return is_admitted(host, current_app.config["ADMITTED_HOSTS"], _listener())


def shared_urls() -> list[str]:
    """Return the addresses at which other devices reach the site, the most certain one first.

    The one that the visitor typed works, and is all that a stranger is told. Somebody on this machine or in a private
    network is told the addresses of this machine in the networks that the site listens to.
    """
    own_url = request.host_url.rstrip("/") + front_page()
    urls = dict.fromkeys([own_url, *_find_urls()])
    return [url for url in urls if not is_loopback(urlsplit(url).netloc)]


def working_url() -> str | None:
    """Return an address that works for somebody whose request names a host that is not admitted, or None."""
    is_here = is_loopback(request.remote_addr or "")
    return next((url for url in _find_urls() if is_here or not is_loopback(urlsplit(url).netloc)), None)


def start_command(**variables: str) -> str:
    """Return the line that starts the site anew with these environment variables, and listens where it does now.

    Behind a proxy the site is started in another way, so the line has only the variables.
    """
    if current_app.config["TRUSTED_PROXY_COUNT"]:
        return " ".join(f"{name}={value}" for name, value in variables.items())
    host, port = _listener(), _port()
    if parse_address(host) and not is_loopback(host):
        variables.setdefault("HOST", host)
    if port != DEFAULT_PORT:
        variables.setdefault("PORT", port)
    return " ".join([*(f"{name}={value}" for name, value in variables.items()), "make run"])


def _find_urls() -> list[str]:
    """Return the addresses under the names that the settings admit, and for those who are near, those of its socket."""
    config = current_app.config
    scheme, port = ("https" if config["SECURE_COOKIES"] else "http"), f":{_port()}"
    if config["TRUSTED_PROXY_COUNT"]:
        port = ""
    names = [name for name in config["NAMED_HOSTS"] if not name.startswith(".")]
    urls = [f"{scheme}://{url_host(name)}{port}{front_page()}" for name in names]
    client = parse_client_address(request.remote_addr or "")
    if client and client.is_private:
        listener = f"[{_listener()}]" if ":" in _listener() else _listener()
        urls += listener_urls(f"{scheme}://{listener}:{_port()}", front_page().rstrip("/"))
    return [url for url in urls if is_host_admitted(urlsplit(url).netloc)]


def _listener() -> str:
    """Return the address that the socket of the site is bound to; empty behind a proxy that names another host."""
    name: str = request.environ.get("SERVER_NAME", "")
    name_before_proxy = request.environ.get("werkzeug.proxy_fix.orig", {}).get("SERVER_NAME", name)
    return name if name == name_before_proxy else ""


def _port() -> str:
    """Return the port of the socket; the usual one where it has none."""
    return str(request.environ.get("SERVER_PORT") or DEFAULT_PORT)
