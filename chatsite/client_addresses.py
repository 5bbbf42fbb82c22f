"""Network addresses of clients, and the network that each counts for."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Whoever has an IPv6 address usually has all addresses with the same first 64 bits.
IPV6_PREFIX_BITS = 64


def parse_client_address(text: str) -> Address | None:
    """Return the address of a client, an IPv4 address that is written as IPv6 as what it is.

    Returns None for what is no address: a client on a Unix socket has none.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def find_network(address: Address) -> str:
    """Return what clients with this address are counted as: an IPv4 address, or the prefix of an IPv6 address."""
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_PREFIX_BITS), strict=False))
