"""A Scene as an inline SVG element. Colours are classes: the style sheet of the page has them."""

from __future__ import annotations

from html import escape

from lsmkv_bench.scene import OUTLINES, Box, Curve, Dot, Label, Line, Mark, Scene

_CAPITAL = 0.36  # half the height of a capital, of the size of the font


def render(scene: Scene) -> str:
    """Scales with its container; `title` is its name for screen readers."""
    size = f"{_short(scene.width)} {_short(scene.height)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" '
        f'aria-label="{escape(scene.title)}" style="min-width:{_short(scene.width * 0.66)}px">'
        + "".join(_mark(mark) for mark in scene.marks)
        + "</svg>"
    )


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _title(note: str) -> str:
    return f"<title>{escape(note)}</title>" if note else ""


def _mark(mark: Mark) -> str:
    match mark:
        case Line():
            dashes = ' stroke-dasharray="2 3"' if mark.dashed else ""
            return (
                f'<line class="s-{mark.tone}" x1="{_short(mark.x1)}" y1="{_short(mark.y1)}" '
                f'x2="{_short(mark.x2)}" y2="{_short(mark.y2)}" '
                f'stroke-width="{_short(mark.width)}"{dashes}/>'
            )
        case Box():
            return (
                f'<rect class="f-{mark.tone}" x="{_short(mark.x)}" y="{_short(mark.y)}" '
                f'width="{_short(mark.width)}" height="{_short(mark.height)}">'
                f"{_title(mark.note)}</rect>"
            )
        case Curve():
            points = " ".join(f"{_short(x)},{_short(y)}" for x, y in mark.points)
            return (
                f'<polyline class="s-{mark.tone}" fill="none" stroke-linejoin="round" '
                f'stroke-linecap="round" stroke-width="{_short(mark.width)}" points="{points}"/>'
            )
        case Dot():
            return _dot(mark)
        case Label():
            bold = ' font-weight="650"' if mark.bold else ""
            return (
                f'<text class="f-{mark.tone}" x="{_short(mark.x)}" '
                f'y="{_short(mark.y + mark.size * _CAPITAL)}" font-size="{_short(mark.size)}" '
                f'text-anchor="{mark.anchor}"{bold}>{escape(mark.text)}</text>'
            )


def _dot(dot: Dot) -> str:
    kind = f"f-page s-{dot.tone}" if dot.hollow else f"f-{dot.tone} s-page"
    shared = f'class="{kind}" stroke-width="{1.4 if dot.hollow else 0.8}"'
    x, y, r = dot.x, dot.y, dot.radius
    if dot.shape == "circle":
        return (
            f'<circle {shared} cx="{_short(x)}" cy="{_short(y)}" r="{_short(r)}">'
            f"{_title(dot.note)}</circle>"
        )
    points = " ".join(
        f"{_short(x + dx * r)},{_short(y + dy * r)}" for dx, dy in OUTLINES[dot.shape]
    )
    return f'<polygon {shared} points="{points}">{_title(dot.note)}</polygon>'
