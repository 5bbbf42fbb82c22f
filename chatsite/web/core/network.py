"""The network address of the request, for the limits that all users behind it share."""

from __future__ import annotations

from flask import current_app, request

from chatsite.hosts import is_loopback
from chatsite.services.networks import Network, network_key

# What proxies add to the requests that they pass on.
PROXY_HEADERS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


def current_network() -> Network | None:
    """Return the network of the request: of the client before the trusted proxies.

    Returns None if these limits are turned off, or if the client has no address (a Unix socket).
    """
    config = current_app.config
    key = network_key(request.remote_addr, config["SECRET_KEY"]) if config["LIMIT_ADDRESSES"] else None
    if key is None:
        return None
    return Network(
        key,
        max_new_users_per_minute=config["MAX_NEW_USERS_PER_ADDRESS"],
        max_queued=config["MAX_QUEUED_PER_ADDRESS"],
        max_import_bytes=config["MAX_IMPORT_MB_PER_ADDRESS"] * 1_000_000,
    )


def is_from_this_computer() -> bool:
    """Return whether the request comes from this computer and not through a proxy, as far as a request tells.

    A proxy that adds nothing, and asks for the address that the site listens at, looks like a browser on this computer.
    """
    is_here = is_loopback(request.remote_addr or "") and is_loopback(request.host)
    return is_here and not any(name in request.headers for name in PROXY_HEADERS)
