"""The addresses of the site: where it listens, from the variables HOST and PORT, and what to type into a browser."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from chatsite.config import ConfigError
from chatsite.errors import gettext_noop
from chatsite.hosts import WILDCARD_ADDRESSES, normalize_host, parse_address, url_host

# Addresses of documentation (RFC 5737, RFC 3849), which nobody has: any packet to them would take the usual way out.
ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
DISCARD_PORT = 9
DEFAULT_PORT = "8000"


def read_listen_address(environ: Mapping[str, str] = os.environ) -> str:
    """Return what gunicorn binds to, `host:port`. Raises ConfigError for a HOST or a PORT that cannot be used."""
    host, port = environ.get("HOST") or "127.0.0.1", environ.get("PORT") or DEFAULT_PORT
    if host.startswith(("unix:", "/")):
        raise ConfigError(
            gettext_noop(
                "HOST=%(host)s cannot be used: it must be a host name or an address. For a Unix socket run "
                "`gunicorn --bind unix:/path wsgi:app`."
            ),
            host=repr(host),
        )
    if not parse_address(host) and (":" in host or not normalize_host(host)):
        raise ConfigError(
            gettext_noop("HOST=%(host)s cannot be used: it must be a host name or an address."), host=repr(host)
        )
    if not port.isascii() or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ConfigError(
            gettext_noop("PORT=%(port)s cannot be used: it must be a number between 0 and 65535."), port=repr(port)
        )
    return f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"


def local_site_url(environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of the site as it can be typed into a browser on this machine, without a final slash."""
    base_path = environ.get("CHATSITE_BASE_PATH", "").strip("/")
    url = f"http://{url_host(environ.get('HOST', ''))}:{environ.get('PORT') or DEFAULT_PORT}"
    return f"{url}/{base_path}" if base_path else url


def listener_urls(listener: str, base_path: str) -> list[str]:
    """Return the addresses of a listener as gunicorn names it, `http://[::]:8000`.

    The first is for this machine. If the listener is for all networks, the others are for other devices.
    """
    url = urlsplit(listener)
    if not url.hostname:
        return [listener]
    hosts = [url.hostname, *(_network_addresses(url.hostname) if url.hostname in WILDCARD_ADDRESSES else [])]
    return [f"{url.scheme}://{url_host(host)}:{url.port}{base_path}/" for host in hosts]


def _network_addresses(wildcard: str) -> list[str]:
    """Return the addresses that this machine has in its networks, as far as the usual ways out tell them."""
    families = [socket.AF_INET, *([socket.AF_INET6] if ":" in wildcard else [])]
    found = []
    for family in families:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                # Only chooses the way; nothing is sent.
                probe.connect((ELSEWHERE[family], DISCARD_PORT))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return found
