"""QR codes of addresses: as a path for a page, and as text for a terminal."""

from __future__ import annotations

import io
from dataclasses import dataclass

import segno

# Around the squares there is nothing, or else cameras do not find them: four squares by the standard.
QUIET_ZONE = 4
# Half of that is enough in the dark frame of a terminal, which has few lines.
TERMINAL_QUIET_ZONE = 2
# White on black whatever the colors of the terminal are: the characters draw what is light.
LIGHT_ON_DARK, RESET = "\033[38;5;231;48;5;16m", "\033[0m"


@dataclass(frozen=True)
class QrCode:
    """A QR code as the `d` of an SVG path in a square of `size` units, its quiet zone included."""

    size: int
    path: str


def draw_qr_code(text: str) -> QrCode:
    """Draw the QR code of a text; a seventh of it may be covered."""
    code = segno.make_qr(text, error="m")
    dark = [
        f"M{x + QUIET_ZONE} {y + QUIET_ZONE}h1v1h-1z"
        for y, row in enumerate(code.matrix)
        for x, is_dark in enumerate(row)
        if is_dark
    ]
    return QrCode(len(code.matrix) + 2 * QUIET_ZONE, "".join(dark))


def print_qr_code(text: str) -> str:
    """Return the QR code of a text as lines for a terminal, each of which shows two rows of squares."""
    drawn = io.StringIO()
    segno.make_qr(text, error="l").terminal(drawn, border=TERMINAL_QUIET_ZONE, compact=True)
    return "\n".join(f"{LIGHT_ON_DARK}{line}{RESET}" for line in drawn.getvalue().splitlines())
