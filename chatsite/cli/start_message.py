"""What the site prints when it has started: its addresses, and in a terminal a QR code of the one for others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from chatsite.addresses import listener_urls
from chatsite.cli.language import JOIN_AT, REACHED_AT, RUNNING_AT, localize
from chatsite.hosts import is_loopback
from chatsite.qr_codes import print_qr_code


def start_message(listener: str, settings: Mapping[str, Any], *, has_terminal: bool) -> str:
    """Return the lines about a listener as gunicorn names it. A log file gets no QR code, and a proxy has its own."""
    urls = listener_urls(listener, settings["BASE_PATH"])
    lines = [localize(RUNNING_AT, address=urls[0]), *(localize(REACHED_AT, address=url) for url in urls[1:])]
    shared = [url for url in urls if urlsplit(url).hostname and not is_loopback(urlsplit(url).netloc)]
    if shared and has_terminal and _can_print_squares() and not settings["TRUSTED_PROXY_COUNT"]:
        lines += [print_qr_code(shared[0]), localize(JOIN_AT, address=f"{urls[0]}join")]
    return "\n".join(lines)


def _can_print_squares() -> bool:
    """Return whether the encoding of the terminal has the characters that a QR code is drawn with."""
    try:
        "█▀▄".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
