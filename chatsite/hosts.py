"""Host names and addresses: their normal form, and which of them the site answers to.

A name that the site does not know may be one that a stranger's page points at this machine (DNS rebinding). That attack
needs a name: docs/decisions/0030-hosts.md says why addresses in digits need no list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

WILDCARD_ADDRESSES = {"0.0.0.0", "::"}  # noqa: S104
HOST_NAME = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def is_admitted(host: str, admitted: Iterable[str], listener: str = "") -> bool:
    """Return whether the site answers to `host`, a name or an address with or without a port.

    `admitted` are normalized names; one with a leading dot includes its subdomains. The site also answers to the
    address in digits that is its `listener`, and to every one if that is a wildcard address.
    """
    name = normalize_host(host)
    if not name:
        return False
    if parse_address(name) and (listener in WILDCARD_ADDRESSES or name == normalize_host(listener)):
        return True
    return any(name == entry or (entry.startswith(".") and f".{name}".endswith(entry)) for entry in admitted)


def normalize_host(host: str) -> str:
    """Return a host without port, brackets, capitals and final dot, as IDNA, and addresses in their shortest form.

    A leading dot stays. Returns an empty string for what cannot be a host.
    """
    host = host.strip().lower()
    address = parse_address(host) or parse_address(re.sub(r":\d*$", "", host))
    if address:
        return address.compressed
    name = re.sub(r"\.?(:\d*)?$", "", host)
    try:
        name = ".".join(label and label.encode("idna").decode() for label in name.split("."))
    except UnicodeError:
        return ""
    return name if HOST_NAME.fullmatch(name) else ""


def is_loopback(host: str) -> bool:
    """Return whether a host, with or without a port, names the machine that the client runs on."""
    name = normalize_host(host)
    address = parse_address(name)
    return address.is_loopback if address else name == "localhost" or name.endswith(".localhost")


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an IP address, in brackets or without; return None for anything else."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        return ip_address(text)
    except ValueError:
        return None


def url_host(host: str) -> str:
    """Return a host as it is written in a URL: IPv6 addresses in brackets, and `localhost` for wildcard addresses."""
    if host in WILDCARD_ADDRESSES or not host:
        return "localhost"
    return f"[{host}]" if isinstance(parse_address(host), IPv6Address) and not host.startswith("[") else host
