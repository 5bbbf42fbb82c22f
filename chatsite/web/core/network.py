"""The network address of the request, for the limits that all users behind it share."""

from __future__ import annotations

from flask import current_app, request

from chatsite.services.networks import Network, network_key


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
