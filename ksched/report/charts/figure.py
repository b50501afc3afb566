"""What all figures share: a name, the data inside, colours, a theme, and files for a paper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ksched.report.comparison import Comparison
from ksched.report.headlines import ordered

if TYPE_CHECKING:
    import altair as alt

NEUTRAL = "#868c98"
PALETTE = [
    "#2f6fde", "#e07b1a", "#1f9d74", "#c2408f", "#8a63d2", "#c9a227", "#d64545", "#2aa5b8", "#7a8b2a", "#a0653a",
    "#5b8ff0", "#f0a860", "#5cc4a0", "#e07fb8", "#b399ea", "#e0c766", "#ea8585", "#6fcbd8", "#adbd5c", "#c99a76",
]  # fmt: skip
VERDICT_COLOURS = {
    "better": "#17916a", "worse": "#d9480f", "higher": "#2f6fde", "lower": "#2f6fde",
    "undecided": NEUTRAL, "untested": NEUTRAL, "exploratory": "#8a63d2", "equal": NEUTRAL,
}  # fmt: skip
_RESOURCES = re.compile(rb"(?:^[ ]*/\w+ \d+ 0 R\n){2,}", re.MULTILINE)
_FONT_OBJECT = re.compile(rb"^(\d+) 0 obj\n<<\n  /Type /Font\n  /Subtype /Type0$", re.MULTILINE)
_MOST_TRIES = 200
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Figure:
    """A chart: ``name`` (file-safe, unique in its workload), title, caption, Vega-Lite spec with its data inside."""

    name: str
    title: str
    caption: str
    spec: dict[str, Any]

    def svg(self) -> str:
        """The figure as SVG for a paper, on white, with ids that do not depend on what was drawn before."""
        import vl_convert

        config = {**theme(dark=False, background="white"), "aria": False}
        spec = {**_without_hover(self.spec), "config": config}
        return _stable_ids(vl_convert.vegalite_to_svg(spec))


def pdf(svg: str) -> bytes:
    """A figure's SVG as PDF with its fonts inside; the same bytes every time."""
    import vl_convert

    made = b""
    for _ in range(_MOST_TRIES):
        # The writer takes resources and fonts in the order of a hash table that is seeded anew each time. Lists of
        # resources can be sorted: no byte moves across their ends, so the offsets in the file stay true. Fonts are
        # whole objects, so files are made until one has them in order; there are two or three.
        made = _RESOURCES.sub(_sorted_lines, vl_convert.svg_to_pdf(svg))
        fonts = [int(number) for number in _FONT_OBJECT.findall(made)]
        if fonts == sorted(fonts):
            break
    return made


def _sorted_lines(found: re.Match[bytes]) -> bytes:
    return b"".join(sorted(found[0].splitlines(keepends=True)))


def _without_hover(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec without the invisible points that carry tooltips: nobody hovers over paper."""
    if "spec" in spec:
        return {**spec, "spec": _without_hover(spec["spec"])}
    if "layer" not in spec:
        return spec
    return {**spec, "layer": [layer for layer in spec["layer"] if layer["mark"].get("opacity") != 0]}


def theme(*, dark: bool, background: str | None = None) -> dict[str, Any]:
    """Vega-Lite config: quiet axes, system fonts, readable on a light or a dark page."""
    ink, faint, line = ("#d7dae0", "#9aa1ad", "#363c47") if dark else ("#23272f", "#5b6270", "#e3e6eb")
    return {
        "background": background,
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": faint, "titleColor": faint, "gridColor": line, "domainColor": line, "tickColor": line,
            "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelLimit": 260,
        },
        "legend": {"labelColor": ink, "titleColor": faint, "labelFontSize": 12, "labelLimit": 260},
        "header": {"labelColor": ink, "labelFontSize": 12, "labelFontWeight": "bold", "labelLimit": 300},
        "title": {"color": ink},
    }  # fmt: skip


def colour(comparison: Comparison, present: Sequence[str]) -> alt.Color:
    """One colour a policy in all figures; the baseline is grey."""
    import altair as alt

    others = [p for p in comparison.policies if p != comparison.baseline]
    range_ = {p: PALETTE[i % len(PALETTE)] for i, p in enumerate(others)} | {comparison.baseline: NEUTRAL}
    domain = ordered(present, comparison.policies)
    legend = alt.Legend(orient="top", title=None, columns=5, symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1)
    return alt.Color("policy:N", scale=alt.Scale(domain=domain, range=[range_[p] for p in domain]), legend=legend)


def csv_data(frame: pd.DataFrame) -> alt.InlineData:
    """The frame as inline CSV (half the size of JSON rows); columns of texts stay texts even when they look like
    numbers, as the names of weights do."""
    import altair as alt

    text = frame.to_csv(index=False, float_format="%.5g", lineterminator="\n")
    kinds = {str(c): "number" if pd.api.types.is_numeric_dtype(frame[c]) else "string" for c in frame.columns}
    return alt.InlineData(values=text, format=alt.CsvDataFormat(type="csv", parse=kinds))


def _stable_ids(svg: str) -> str:
    """Vega numbers clip paths and gradients by a counter of the process; number them by appearance instead."""
    names = dict.fromkeys(re.findall(r'\bid="([A-Za-z_]+\d+)"', svg))
    renamed = {name: f"{name.rstrip('0123456789')}_{i}" for i, name in enumerate(names)}
    return re.sub(r'(\bid="|url\(#|href="#)([A-Za-z_]+\d+)(?=["\)])', lambda m: m[1] + renamed.get(m[2], m[2]), svg)
