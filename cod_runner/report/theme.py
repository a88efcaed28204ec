"""The colours of the page and of its figures, by light and by dark; on paper they are always the light ones.

Every pair of ink and ground that the page uses has a contrast of 4.5 or more, every line of a figure 3 or more (WCAG
2.2, criteria 1.4.3 and 1.4.11); a test computes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cod_runner.report.looks import COLOURS, FLOOR_COLOUR, GRID_COLOUR, INK, KNOWN, PAPER, TEACHER_COLOUR


@dataclass(frozen=True)
class Shade:
    """One role of a colour."""

    name: str
    """``--name`` in the style sheet."""
    light: str
    dark: str


PAGE = (
    Shade("ink", "#1b1f24", "#e6e9ed"),
    Shade("muted", "#5b6470", "#9aa4b0"),
    Shade("paper", "#ffffff", "#14171b"),
    Shade("band", "#f3f5f7", "#1d2228"),
    Shade("line", "#d5dae0", "#363d46"),
    Shade("edge", "#767f8a", "#79838e"),
    Shade("win", "#0a6b3d", "#5fd39a"),
    Shade("lose", "#b3261e", "#ff8f85"),
    Shade("added", "#d3f2dd", "#17442a"),
    Shade("removed", "#fbdcd9", "#57221e"),
    Shade("accent", "#0068a3", "#6cb8e6"),
    Shade("warn", "#fff4d6", "#3a3115"),
)

_DARK = {
    INK: "#e6e9ed",
    PAPER: "#14171b",
    GRID_COLOUR: "#363d46",
    TEACHER_COLOUR: "#a8b0ba",
    FLOOR_COLOUR: "#2fc79a",
    "#0072B2": "#4fa8e0",
    "#CC79A7": "#de93bc",
    "#D55E00": "#ff8a3d",
    "#B57A00": "#f0b429",
    "#2E8BC0": "#9ad4f5",
    "#9A8B00": "#c9bb3a",
    "#5D3A9B": "#a98be0",
    "#994F00": "#c98a55",
}
"""Of each colour that figures are drawn in."""

DRAWN = tuple(
    Shade(f"drawn-{light[1:].lower()}", light.lower(), _DARK[light])
    for light in dict.fromkeys(
        [INK, PAPER, GRID_COLOUR, TEACHER_COLOUR, FLOOR_COLOUR, *(known[0] for known in KNOWN.values()), *COLOURS]
    )
)


def colour_variables() -> str:
    """The style sheet's variables: the light ones, and on a screen that asks for them the dark ones."""
    shades = (*PAGE, *DRAWN)
    light = " ".join(f"--{shade.name}: {shade.light};" for shade in shades)
    dark = " ".join(f"--{shade.name}: {shade.dark};" for shade in shades)
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        "@media print { :root { color-scheme: light; } }\n"
    )


_TAG = re.compile(r"<[^<>]+>")
_COLOUR = re.compile("|".join(shade.light for shade in DRAWN))
_VARIABLES = {shade.light: f"var(--{shade.name})" for shade in DRAWN}


def themed(svg: str) -> str:
    """An SVG file of matplotlib's as a part of the page: its colours become the page's variables, its font the page's.

    Only what is inside tags changes: texts are those of the run. The names of groups go, which would be on the page
    once for every figure; those of shapes that are used again are unlike in every figure.
    """
    inner = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.S)
    return _TAG.sub(lambda found: _themed_tag(found.group()), inner)


def _themed_tag(tag: str) -> str:
    if tag.startswith("<g "):
        tag = re.sub(r' id="[^"]*"', "", tag)
    if tag.startswith("<svg "):
        tag = re.sub(r' (?:width|height|version|xmlns(?::xlink)?)="[^"]*"', "", tag)
    tag = re.sub(r"font-family: [^;\"]*", "font-family: inherit", tag.replace("xlink:href=", "href="))
    tag = tag.replace(f"fill: {PAPER}", "fill: none")  # what lies below, the shadow of a narrow page say, is seen
    return _COLOUR.sub(lambda found: _VARIABLES[found.group()], tag)
