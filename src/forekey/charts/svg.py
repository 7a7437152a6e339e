"""Elements of an SVG drawing, escaped by the XML library of Python wherever a text comes from."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from xml.etree import ElementTree as ET

_NOT_XML = {c: "\N{REPLACEMENT CHARACTER}" for c in range(0x20) if chr(c) not in "\t\n\r"} | {
    0xFFFE: "\N{REPLACEMENT CHARACTER}",
    0xFFFF: "\N{REPLACEMENT CHARACTER}",
}


class Svg(str):
    """A finished drawing; templates that escape text leave it as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the drawing itself (the protocol of MarkupSafe)."""
        return str(self)


def style() -> str:
    """Return the style sheet that gives charts their colours, light and dark."""
    return resources.files("forekey.charts").joinpath("static/charts.css").read_text(encoding="utf-8")


def node(name: str, *children: ET.Element, text: str = "", tip: str = "", **attributes: str | float) -> ET.Element:
    """Return one element. ``tip`` is what a pointer over it shows.

    ``class_`` is the class; underscores in other names of attributes become hyphens. Numbers have two decimals at most.
    """
    made = ET.Element(name, {_name(k): _value(v) for k, v in attributes.items()})
    if text:
        made.text = _plain(text)
    if tip:
        ET.SubElement(made, "title").text = _plain(tip)
    made.extend(children)
    return made


def drawing(
    width: float,
    height: float,
    label: str,
    parts: Sequence[ET.Element],
    class_: str = "chart",
    role: str = "img",
    top: float = 0.0,
) -> Svg:
    """Return a drawing of that many pixels that shrinks with its page; ``label`` is what a screen reader says.

    ``top`` is the y of its upper edge. A drawing with links in it has the ``role`` of a group: what is an image has no
    parts (WAI-ARIA 1.2).
    """
    root = node(
        "svg",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 {_value(top)} {_value(width)} {_value(height)}",
        width=width,
        height=height,
        class_=class_,
        role=role,
        aria_label=label,
    )
    return Svg(ET.tostring(root, encoding="unicode"))


def _name(keyword: str) -> str:
    return keyword.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return _plain(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def _plain(text: str) -> str:
    """Return a text without characters that XML does not allow (XML 1.0, 2.2)."""
    return text.translate(_NOT_XML).encode("utf-8", "replace").decode("utf-8")
