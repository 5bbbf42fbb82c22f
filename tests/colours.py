"""Colours as the style sheet writes them, and how well two of them can be told apart."""

from __future__ import annotations

import math
import re
from pathlib import Path

from chatsite.config import ROOT

TOKENS = ROOT / "static" / "css" / "tokens.css"
COLOUR = r"oklch\(([\d.]+)% ([\d.]+) ([\d.]+)\)"
PAIR = re.compile(rf"--([\w-]+): light-dark\({COLOUR}, {COLOUR}\)")

Linear = tuple[float, float, float]


def linear(lightness: float, chroma: float, hue: float) -> Linear:
    """Linear sRGB of a colour in OKLCH, lightness in percent and hue in degrees.

    The numbers are those of https://bottosson.github.io/posts/oklab/.
    """
    level, a, b = lightness / 100, chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (level + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (level - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (level - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    return min(max(red, 0), 1), min(max(green, 0), 1), min(max(blue, 0), 1)


def colours(dark: bool, path: Path = TOKENS) -> dict[str, Linear]:
    """The colours of the site by name, for one of the two schemes. Where one is given twice the first counts."""
    found: dict[str, Linear] = {}
    for name, *numbers in PAIR.findall(path.read_text()):
        values = [float(number) for number in numbers]
        found.setdefault(name, linear(*(values[3:] if dark else values[:3])))
    return found


def contrast(one: Linear, other: Linear) -> float:
    """The contrast of two colours as WCAG 2 counts it, from 1 to 21."""
    light, dark = sorted(
        (0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (one, other)), reverse=True
    )
    return (light + 0.05) / (dark + 0.05)
