"""The picture of a schema: whole whatever the tables are called and however they refer to each other."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from forekey.status import schema_svg

SVG = "{http://www.w3.org/2000/svg}"


def table(name: str, *parents: str) -> TableSchema:
    columns = (ColumnSchema("id", DType.INTEGER, Stype.ID), ColumnSchema("x", DType.FLOAT, Stype.NUMERICAL))
    keys = tuple(ForeignKey(f"{p}_id", p) for p in parents)
    own = tuple(ColumnSchema(k.column, DType.INTEGER, Stype.ID) for k in keys)
    return TableSchema(name, (*columns, *own), "id", None, keys)


def places(drawing: str) -> dict[str, tuple[float, float]]:
    """Return where the name of each table stands."""
    return {
        str(t.text): (float(t.attrib["x"]), float(t.attrib["y"]))
        for t in ElementTree.fromstring(drawing).iter(f"{SVG}text")
        if t.attrib["class"] == "n"
    }


def test_what_is_referred_to_stands_on_the_left() -> None:
    drawn = places(schema_svg(Schema((table("lines", "orders"), table("orders", "people"), table("people")))))
    assert drawn["people"][0] < drawn["orders"][0] < drawn["lines"][0]


def test_tables_do_not_lie_on_each_other() -> None:
    names = [f"t{i}" for i in range(12)]
    drawing = schema_svg(Schema((table("hub"), *(table(n, "hub") for n in names))))
    boxes = [r.attrib for r in ElementTree.fromstring(drawing).iter(f"{SVG}rect") if r.attrib["class"] == "b"]
    spans = sorted((float(b["y"]), float(b["y"]) + float(b["height"])) for b in boxes if float(b["x"]) > 100)
    assert len(spans) == 12
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))


def test_cycles_and_self_references_are_drawn() -> None:
    drawing = schema_svg(Schema((table("a", "b"), table("b", "a"), table("staff", "staff"))))
    assert len(list(ElementTree.fromstring(drawing).iter(f"{SVG}path"))) == 3


def test_any_name_is_written_whole_and_escaped() -> None:
    drawn = places(schema_svg(Schema((table('<a & "b">'), table("Überschrift 表")))))
    assert set(drawn) == {'<a & "b">', "Überschrift 表"}


def test_no_table_at_all() -> None:
    assert ElementTree.fromstring(schema_svg(Schema(()))).tag == f"{SVG}svg"
