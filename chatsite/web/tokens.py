"""The tokens of the style sheet, read from it: colours and how well they can be told apart, sizes, space, motion."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from chatsite.config import ROOT

TOKENS = ROOT / "static" / "css" / "tokens.css"
COLOUR = r"oklch\(([\d.]+)% ([\d.]+) ([\d.]+)\)"
PAIR = re.compile(rf"--([\w-]+): light-dark\({COLOUR}, {COLOUR}\)")
TOKEN = re.compile(r"^ +--([\w-]+): ([^;]+);", re.MULTILINE)
# The kinds of tokens that are no colours, by what their names begin with.
KINDS = {
    "type": ("text", "code", "size"),
    "space": ("space", "gutter", "bar", "touch", "column"),
    "radius": ("radius", "round"),
    "motion": ("quick", "calm", "ease"),
}

# The property that shows a token of a kind.
SHOWN = {"type": "font-size", "space": "inline-size", "radius": "border-radius"}

Linear = tuple[float, float, float]


@dataclass(frozen=True)
class Colour:
    """A colour by its name, and its contrast to the paper in light and dark."""

    name: str
    light: float
    dark: float


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


def palette() -> list[Colour]:
    """All colours, in the order of the style sheet."""
    light, dark = colours(dark=False), colours(dark=True)
    return [Colour(name, contrast(light[name], light["paper"]), contrast(dark[name], dark["paper"])) for name in light]


def measures() -> dict[str, dict[str, str]]:
    """The tokens that are no colours by their kind and their names. Where one is given twice the first counts."""
    found: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    for name, value in TOKEN.findall(TOKENS.read_text()):
        for kind, beginnings in KINDS.items():
            if name.partition("-")[0] in beginnings and "oklch" not in value:
                found[kind].setdefault(name, value)
    return found


def style() -> str:
    """A style sheet with a class for every token, so that a page can show it without styles of its own."""
    rules = [f".shows-{colour.name} {{ background: var(--{colour.name}) }}" for colour in palette()]
    for kind, names in measures().items():
        rules += [f".shows-{name} {{ {SHOWN[kind]}: var(--{name}) }}" for name in names if kind in SHOWN]
    return "\n".join(rules)
