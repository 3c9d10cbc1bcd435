"""The accent colour of a site, kept readable on light and on dark ground."""

from __future__ import annotations

import re

LIGHT, DARK = (255, 255, 255), (20, 22, 28)
"""What text stands on."""
ENOUGH = 4.5
"""The contrast that WCAG AA asks for."""
DEFAULT = "#3451b2"
MIDDLE, LINEAR_UNTIL = 0.5, 0.03928
"""Of luminance, and of sRGB's curve."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

Rgb = tuple[int, int, int]


def accent_css(accent: str) -> str:
    """The custom properties of an accent; of the default one for what is no colour."""
    colour = accent if _COLOUR.fullmatch(accent) else DEFAULT
    rgb = (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16))
    return f":root{{--accent-light:{_hex(readable(rgb, LIGHT))};--accent-dark:{_hex(readable(rgb, DARK))}}}\n"


def readable(colour: Rgb, ground: Rgb) -> Rgb:
    """The colour, moved towards black or white until it can be read."""
    towards = 0 if _luminance(ground) > MIDDLE else 255
    for step in range(21):
        share = step / 20
        mixed = (_mix(colour[0], towards, share), _mix(colour[1], towards, share), _mix(colour[2], towards, share))
        if contrast(mixed, ground) >= ENOUGH:
            return mixed
    return (towards, towards, towards)


def contrast(one: Rgb, other: Rgb) -> float:
    """1 to 21, as WCAG defines it."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: Rgb) -> float:
    parts = [value / 255 for value in colour]
    red, green, blue = (part / 12.92 if part <= LINEAR_UNTIL else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mix(value: int, towards: int, share: float) -> int:
    return round(value + (towards - value) * share)


def _hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
