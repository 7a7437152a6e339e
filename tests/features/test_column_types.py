"""What depends on the type of a column stands in the file of that type: fitting, encoding, aggregating."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import forekey
from forekey.features.columns import COLUMN_TYPES, Measure, ScalarEncoder, column_from_dict, fit_column
from forekey.schema import ColumnSchema, DType, Stype, TableSchema

SOURCE = Path(forekey.__file__).parent
NO_FEATURES = {Stype.ID, Stype.IGNORE}
VALUES: dict[Stype, pa.Array] = {
    Stype.NUMERICAL: pa.array([1.0, None, float("inf"), -4.0]),
    Stype.TIMESTAMP: pa.array([0, None, 10**15, -5], pa.timestamp("us")),
    Stype.CATEGORICAL: pa.array(["a", None, "b", "a"]),
    Stype.BOOLEAN: pa.array([True, None, False, True]),
    Stype.MULTICATEGORICAL: pa.array([["a"], None, [], ["a", None]], pa.list_(pa.string())),
    Stype.TEXT: pa.array(["some words", None, "", "ünïcode"]),
    Stype.EMBEDDING: pa.array([[1.0, 2.0], None, [3.0], [float("nan"), 4.0]], pa.list_(pa.float32())),
}


def named(path: Path) -> set[str]:
    """Return the types of columns that a module names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {n.attr for n in attributes if isinstance(n.value, ast.Name) and n.value.id == "Stype"}


def test_each_type_is_one_file_and_no_other_module_of_these_rooms_names_one() -> None:
    assert set(COLUMN_TYPES) == set(Stype) - NO_FEATURES
    files = {kind.__module__.rpartition(".")[2]: kind.stype.name for kind in COLUMN_TYPES.values()}
    assert len(files) == len(COLUMN_TYPES)
    for room in ("features", "nn", "sampling", "inference", "training"):
        for path in (SOURCE / room).rglob("*.py"):
            assert named(path) == (
                {files[path.stem]} if path.parent.name == "columns" and path.stem in files else set()
            )


@pytest.mark.parametrize("stype", sorted(COLUMN_TYPES))
@pytest.mark.parametrize("rows", [4, 1, 0])
def test_every_type_is_fitted_encoded_and_kept(stype: Stype, rows: int) -> None:
    column = ColumnSchema("x", DType.TEXT, stype)
    table = TableSchema("t", (column,))
    for values in (VALUES[stype].slice(0, rows), pa.nulls(rows, VALUES[stype].type)):
        data = pa.table({"x": values})
        encoder = fit_column(data, column, table)
        assert column_from_dict(encoder.to_dict()) == encoder
        encoded = encoder.encode(data)
        assert encoded.values.shape == (rows, encoder.num_values)
        assert encoded.token_ids.shape == (rows, encoder.num_tokens)
        assert np.isfinite(encoded.values).all()
        assert encoded.token_ids.size == 0 or encoded.token_ids.max(initial=0) <= encoder.vocabulary_size
        if not isinstance(encoder, ScalarEncoder):
            continue
        assert encoder.numbers(data).shape == (rows,)
        for measure in encoder.measures(data.column("x"), column, table):
            assert isinstance(measure, Measure)
            assert encoder.measured(data, measure, None).shape == (rows,)


@pytest.mark.parametrize("stype", sorted(COLUMN_TYPES))
def test_a_row_is_encoded_alike_by_itself_and_among_others(stype: Stype) -> None:
    column = ColumnSchema("x", DType.TEXT, stype)
    data = pa.table({"x": VALUES[stype]})
    encoder = fit_column(data, column, TableSchema("t", (column,)))
    whole = encoder.encode(data)
    for row in range(len(data)):
        alone = encoder.encode(data.slice(row, 1))
        assert alone.values.tobytes() == whole.values[row : row + 1].tobytes()
        assert alone.token_ids.tobytes() == whole.token_ids[row : row + 1].tobytes()
