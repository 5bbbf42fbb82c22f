"""Design tokens, read from the style sheet: colors and their contrast, sizes, space, motion."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from chatsite.settings import ROOT

TOKENS = ROOT / "static" / "css" / "tokens.css"
OKLCH = r"oklch\(([\d.]+)% ([\d.]+) ([\d.]+)\)"
COLOR_PAIR = re.compile(rf"--([\w-]+): light-dark\({OKLCH}, {OKLCH}\)")
TOKEN_DECLARATION = re.compile(r"^ +--([\w-]+): ([^;]+);", re.MULTILINE)
# The kinds of tokens other than colors, with the prefixes of their names.
PREFIXES_BY_KIND = {
    "type": ("text", "code", "size"),
    "space": ("space", "gutter", "topbar", "touch", "column"),
    "radius": ("radius",),
    "motion": ("duration", "ease"),
}

# The CSS property that makes a token of a kind visible.
PROPERTY_BY_KIND = {"type": "font-size", "space": "inline-size", "radius": "border-radius"}

LinearSRGB = tuple[float, float, float]


@dataclass(frozen=True)
class Color:
    """A color with its name, and its contrast to the surface color in the light and the dark scheme."""

    name: str
    contrast_light: float
    contrast_dark: float


def oklch_to_linear_srgb(lightness: float, chroma: float, hue: float) -> LinearSRGB:
    """Convert OKLCH (lightness in percent, hue in degrees) to linear sRGB between 0 and 1.

    The coefficients come from https://bottosson.github.io/posts/oklab/.
    """
    scaled_lightness, a, b = lightness / 100, chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (scaled_lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (scaled_lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (scaled_lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    return min(max(red, 0), 1), min(max(green, 0), 1), min(max(blue, 0), 1)


def read_colors(dark: bool, path: Path = TOKENS) -> dict[str, LinearSRGB]:
    """Return the site's colors by name for one color scheme. The first definition of a name counts."""
    colors: dict[str, LinearSRGB] = {}
    for name, *numbers in COLOR_PAIR.findall(path.read_text()):
        values = [float(number) for number in numbers]
        colors.setdefault(name, oklch_to_linear_srgb(*(values[3:] if dark else values[:3])))
    return colors


def contrast_ratio(first: LinearSRGB, second: LinearSRGB) -> float:
    """Return the contrast of two colors as WCAG 2 defines it, from 1 to 21."""
    light, dark = sorted(
        (0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (first, second)), reverse=True
    )
    return (light + 0.05) / (dark + 0.05)


def list_colors() -> list[Color]:
    """List all colors in the order of the style sheet."""
    light, dark = read_colors(dark=False), read_colors(dark=True)
    return [
        Color(name, contrast_ratio(light[name], light["surface"]), contrast_ratio(dark[name], dark["surface"]))
        for name in light
    ]


def read_dimensions() -> dict[str, dict[str, str]]:
    """Return the tokens other than colors, by kind and name. The first definition of a name counts."""
    dimensions: dict[str, dict[str, str]] = {kind: {} for kind in PREFIXES_BY_KIND}
    for name, value in TOKEN_DECLARATION.findall(TOKENS.read_text()):
        for kind, prefixes in PREFIXES_BY_KIND.items():
            if name.partition("-")[0] in prefixes and "oklch" not in value:
                dimensions[kind].setdefault(name, value)
    return dimensions


def build_stylesheet() -> str:
    """Return a style sheet with a class for each token, so that a page can show tokens without inline styles."""
    rules = [f".shows-{color.name} {{ background: var(--{color.name}) }}" for color in list_colors()]
    for kind, names in read_dimensions().items():
        rules += [
            f".shows-{name} {{ {PROPERTY_BY_KIND[kind]}: var(--{name}) }}" for name in names if kind in PROPERTY_BY_KIND
        ]
    return "\n".join(rules)
