"""Build the graph of a shop with string keys, and of rel-f1: ours against RelBench's ``make_pkey_fkey_graph``.

The reference needs `pip install "forekey[bench]"` (relbench, PyTorch Frame, PyG); without it, ours runs alone. Each
build runs in a process of its own, from Parquet files to the finished graph; peak memory is what the system counted
for that process, mapped files included. Both give the same edges (checked). Run:

    python benchmarks/graph_build.py [--quick] [--lines N] [--relbench FOLDER] [--scale] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from forekey import __version__

# The package of this name is meant, not the benchmark beside this script.
sys.path = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]

KEYS = {
    "customers": ("customer_id", "joined", {}),
    "products": ("sku", None, {}),
    "orders": ("order_id", "placed_at", {"customer_id": "customers"}),
    "order_lines": ("line_id", "added_at", {"order_id": "orders", "sku": "products"}),
}
STYPES = {
    "customers": {"region": "categorical", "age": "numerical", "joined": "timestamp"},
    "products": {"price": "numerical"},
    "orders": {"channel": "categorical", "placed_at": "timestamp"},
    "order_lines": {"quantity": "numerical", "amount": "numerical", "added_at": "timestamp"},
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="200,000 order lines, under two minutes")
    parser.add_argument("--lines", type=int, default=10_000_000, help="order lines of the shop")
    parser.add_argument("--relbench", type=Path, help="a RelBench v3 folder to build as well")
    parser.add_argument("--scale", action="store_true", help="ours alone at 1, 10 and 50 million order lines")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "DATA", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, data, out = options.child
        CHILDREN[what](Path(data), Path(out))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), 200_000 if options.quick else options.lines, options.relbench)
        if options.scale:
            rows += scale(Path(folder))
    for row in rows:
        print(f"{row['name']}: {row['ours']:.3g} {row['unit']} against {row['peer']:.3g}, ratio {row['ratio']:.3g}")
    if options.json:
        machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
        versions = {"forekey": __version__, "duckdb": duckdb.__version__, "numpy": np.__version__}
        options.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))


def measure(folder: Path, lines: int, relbench: Path | None) -> list[dict[str, Any]]:
    """Build the shop, and rel-f1 if it is given, with both; update the shop with its last hundredth."""
    shop = write_shop(folder / "shop", lines)
    ours = run("ours", shop, folder / "ours")
    print(f"shop of {lines:,} lines: ours {ours['seconds']:.2f} s, {ours['gigabytes']:.2f} GB", flush=True)
    update = run("update", shop, folder / "update")
    print(f"  update with the last 1 %: {update['seconds']:.2f} s; equal to scratch: {update['equal']}", flush=True)
    rows = [compared("update with 1 % new, against a full build", update["seconds"], update["full_seconds"], 10.0)]
    jobs = [("shop", shop, ours, "reference")]
    if relbench is not None:
        jobs.append(("rel-f1", relbench, run("ours-relbench", relbench, folder / "f1"), "reference-relbench"))
    if importlib.util.find_spec("relbench") is None:
        print('the reference is not installed: pip install "forekey[bench]"')
        return rows
    for name, data, mine, what in jobs:
        theirs = run(what, data, folder / f"{name}-reference")
        print(f"{name}: reference {theirs['seconds']:.2f} s, {theirs['gigabytes']:.2f} GB", flush=True)
        if mine["edges"] != theirs["edges"]:
            raise SystemExit(f"{name}: the edges differ: {mine['edges']} and {theirs['edges']}")
        rows.append(compared(f"{name}: build", mine["seconds"], theirs["seconds"], 10.0))
        rows.append(compared(f"{name}: peak memory", mine["gigabytes"], theirs["gigabytes"], 4.0, "GB"))
    return rows


def scale(folder: Path) -> list[dict[str, Any]]:
    """Build ever larger shops; the ratio is the cost of a row against that at a million lines."""
    rows: list[dict[str, Any]] = []
    first = 0.0
    for lines in (1_000_000, 10_000_000, 50_000_000):
        data = write_shop(folder / f"shop-{lines}", lines)
        done = run("ours", data, folder / f"ours-{lines}")
        cost = done["seconds"] / lines * 1e6
        first = first or cost
        print(f"{lines:,} lines: {lines / done['seconds']:,.0f} lines/s, {done['gigabytes']:.2f} GB", flush=True)
        print(
            f"  opened in {done['open_ms']:.1f} ms; a key found in {done['lookup_us']:.1f} µs, of 100,000 at once in "
            f"{done['bulk_us']:.2f} µs",
            flush=True,
        )
        rows.append(compared(f"{lines:,} lines, µs a line against a million's", cost, first, 0.5, "µs"))
        subprocess.run(["rm", "-rf", str(data), str(folder / f"ours-{lines}")], check=True)
    return rows


def compared(name: str, ours: float, peer: float, target: float, unit: str = "s") -> dict[str, Any]:
    """Make a row of the table: how many times less ours takes."""
    return {
        "name": name, "ours": ours, "peer": peer, "ratio": peer / ours, "unit": unit, "target": target,
        "better": "higher",
    }  # fmt: skip


def run(what: str, data: Path, out: Path) -> dict[str, Any]:
    """Run one build in a process of its own; return what it says and the memory it took."""
    out.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([sys.executable, __file__, "--child", what, str(data), str(out)])
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{what} failed")
    told: dict[str, Any] = json.loads((out / "result.json").read_text())
    return {**told, "gigabytes": usage.ru_maxrss / 1e6}


def write_shop(folder: Path, lines: int) -> Path:
    """Write customers, products, orders and order lines as Parquet, every key a string, rows in the order of time."""
    folder.mkdir(parents=True)
    statements = {
        "customers": f"SELECT 'C-' || lpad(i::VARCHAR, 9, '0') customer_id, ['n','e','s','w'][1 + (hash(i) % 4)::INT] "
        f"region, 18 + (hash(i + 7) % 70)::INT age, TIMESTAMP '2015-01-01' + INTERVAL (i * 60) SECOND joined "
        f"FROM range({lines // 100}) t(i)",
        "products": f"SELECT 'SKU-' || lpad(i::VARCHAR, 7, '0') sku, (hash(i) % 10000) / 100.0 price "
        f"FROM range({lines // 500}) t(i)",
        "orders": f"SELECT 'O-' || lpad(i::VARCHAR, 10, '0') order_id, 'C-' || "
        f"lpad((hash(i) % {lines // 100})::VARCHAR, 9, '0') customer_id, "
        "['web','app','shop'][1 + (hash(i + 1) % 3)::INT] channel, "
        f"TIMESTAMP '2020-01-01' + INTERVAL (i * 5) SECOND placed_at FROM range({lines // 4}) t(i)",
        "order_lines": "SELECT 'L-' || lpad(i::VARCHAR, 10, '0') line_id, 'O-' || lpad((i // 4)::VARCHAR, 10, '0') "
        f"order_id, 'SKU-' || lpad((hash(i) % {lines // 500})::VARCHAR, 7, '0') sku, 1 + (hash(i + 3) % 5)::INT "
        "quantity, (hash(i + 5) % 10000) / 100.0 amount, TIMESTAMP '2020-01-01' + INTERVAL (i // 4 * 5 + i % 4) SECOND "
        f"added_at FROM range({lines}) t(i)",
    }
    with duckdb.connect() as connection:
        for name, statement in statements.items():
            connection.execute(f"COPY ({statement}) TO '{folder / name}.parquet'")
    return folder


def shop_schema() -> Any:
    """Return the schema that both builds are told."""
    from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema

    dtypes = {"categorical": DType.TEXT, "numerical": DType.FLOAT, "timestamp": DType.TIMESTAMP}
    tables = []
    for name, (key, moment, parents) in KEYS.items():
        columns = [ColumnSchema(c, DType.TEXT, Stype.ID) for c in (key, *parents)]
        columns += [ColumnSchema(c, dtypes[s], Stype(s)) for c, s in STYPES[name].items()]
        foreign = tuple(ForeignKey(c, p) for c, p in parents.items())
        tables.append(TableSchema(name, tuple(columns), key, moment, foreign))
    return Schema(tuple(tables))


def build_ours(data: Path, out: Path) -> None:
    """Build with Forekey, from files to a published snapshot."""
    from forekey.graph import SnapshotStore, build_snapshot
    from forekey.source import open_source

    store = SnapshotStore(out / "snapshots")
    with open_source(f"files:///{data}", out) as source:
        snapshot = build_snapshot(source, shop_schema(), store)
    edges = {str(e): digest(snapshot.parents(e)) for e in snapshot.edge_types}
    tell(out, snapshot.manifest.seconds, edges, opening(store))


def opening(store: Any) -> dict[str, float]:
    """Time opening the snapshot, and looking string keys up one at a time and 100,000 at once."""
    started = time.perf_counter()
    snapshot = store.current()
    opened = time.perf_counter() - started
    keys = snapshot.keys("orders").take(np.random.default_rng(0).integers(0, snapshot.num_nodes("orders"), 100_000))
    single = keys.slice(0, 2_000).to_pylist()
    snapshot.lookup("orders", single[:1])
    started = time.perf_counter()
    for key in single:
        snapshot.lookup("orders", [key])
    one = (time.perf_counter() - started) / len(single)
    started = time.perf_counter()
    snapshot.lookup_keys("orders", keys)
    many = (time.perf_counter() - started) / len(keys)
    return {"open_ms": opened * 1e3, "lookup_us": one * 1e6, "bulk_us": many * 1e6}


def build_ours_relbench(data: Path, out: Path) -> None:
    """Build rel-f1 with Forekey, three times; the best counts."""
    from forekey.graph import SnapshotStore, build_snapshot
    from forekey.source import infer_schema, open_source

    with open_source(f"relbench:///{data.resolve()}", out) as source:
        schema = infer_schema(source).schema
        built = [build_snapshot(source, schema, SnapshotStore(out / str(i))) for i in range(3)]
    snapshot = built[0]
    tell(out, min(s.manifest.seconds for s in built), {str(e): snapshot.num_edges(e) for e in snapshot.edge_types})


def update_ours(data: Path, out: Path) -> None:
    """Build up to 99 % of the time, then update; beside it, a full build."""
    from forekey.graph import SnapshotStore, build_snapshot, from_micros
    from forekey.source import open_source

    with open_source(f"files:///{data}", out) as source:
        full = build_snapshot(source, shop_schema(), SnapshotStore(out / "full"))
        times = full.times("order_lines")
        assert times is not None
        store = SnapshotStore(out / "updated")
        build_snapshot(source, shop_schema(), store, as_of=from_micros(int(times[len(times) * 99 // 100])))
        updated = build_snapshot(source, shop_schema(), store)
    more = {"full_seconds": full.manifest.seconds, "equal": updated.id == full.id}
    tell(out, updated.manifest.seconds, {}, more)


def build_reference(data: Path, out: Path) -> None:
    """Build with RelBench: tables into pandas, PyTorch Frame's tensors, PyG's graph.

    RelBench 3 asks for keys that are row numbers, so keys are first turned into these, by pandas' own index.
    """
    import pandas as pd
    from relbench.base import Database, Table
    from torch_frame import stype

    started = time.perf_counter()
    tables = {}
    for name, (key, moment, parents) in KEYS.items():
        frame = pd.read_parquet(data / f"{name}.parquet", columns=[key, *parents, *STYPES[name]])
        tables[name] = Table(frame, dict(parents), key, moment)
    database = Database(tables)
    number_keys(database)
    stypes = {t: {c: stype(s) for c, s in columns.items()} for t, columns in STYPES.items()}
    graph = reference_graph(database, stypes)
    seconds = time.perf_counter() - started
    edges = {}
    for name, (_, _, parents) in KEYS.items():
        for column, parent in parents.items():
            child, to = graph[name, f"f2p_{column}", parent].edge_index.numpy()
            pointers = np.full(len(tables[name].df), -1, np.int32)
            pointers[child] = to
            edges[f"{name}.{column}->{parent}"] = digest(pointers)
    tell(out, seconds, edges)


def number_keys(database: Any) -> None:
    """Replace keys by row numbers, orphans by missing values."""
    import pandas as pd

    tables = database.table_dict
    indexes = {name: pd.Index(t.df[t.pkey_col]) for name, t in tables.items() if t.pkey_col is not None}
    for table in tables.values():
        for column, parent in table.fkey_col_to_pkey_table.items():
            found = pd.Series(indexes[parent].get_indexer(table.df[column]), dtype="Int64")
            table.df[column] = found.mask(found < 0)
    for name in indexes:
        tables[name].df[tables[name].pkey_col] = np.arange(len(tables[name].df))


def build_reference_relbench(data: Path, out: Path) -> None:
    """Build rel-f1 with RelBench, three times; the best counts. Texts are left out: embedding them is another job."""
    import pandas as pd
    from relbench.base import Database, Table
    from relbench.modeling.utils import get_stype_proposal
    from torch_frame import stype

    from forekey.source.relbench import read_manifest

    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        tables = {}
        for name, entry in read_manifest(data).tables.items():
            frame = pd.read_parquet(data / "db" / f"{name}.parquet")
            tables[name] = Table(frame, dict(entry.get("fkeys") or {}), entry.get("pkey"), entry.get("time_col"))
        database = Database(tables)
        stypes = get_stype_proposal(database)
        without_text = {t: {c: s for c, s in cs.items() if s != stype.text_embedded} for t, cs in stypes.items()}
        graph = reference_graph(database, without_text)
        best = min(best, time.perf_counter() - started)
    edges = {
        f"{name}.{column}->{parent}": graph[name, f"f2p_{column}", parent].edge_index.shape[1]
        for name, table in tables.items()
        for column, parent in table.fkey_col_to_pkey_table.items()
    }
    tell(out, best, edges)


def reference_graph(database: Any, stypes: Any) -> Any:
    """Call the public reference."""
    from relbench.modeling.graph import make_pkey_fkey_graph

    graph, _ = make_pkey_fkey_graph(database, stypes, text_embedder_cfg=None, cache_dir=None)
    return graph


def digest(pointers: np.ndarray[Any, Any]) -> str:
    """Hash where every row points."""
    import hashlib

    return hashlib.blake2b(np.ascontiguousarray(pointers, np.int32).tobytes(), digest_size=8).hexdigest()


def tell(out: Path, seconds: float, edges: dict[str, Any], more: dict[str, Any] | None = None) -> None:
    """Leave the result for the process that asked."""
    (out / "result.json").write_text(json.dumps({"seconds": seconds, "edges": edges, **(more or {})}))


CHILDREN = {
    "ours": build_ours,
    "ours-relbench": build_ours_relbench,
    "update": update_ours,
    "reference": build_reference,
    "reference-relbench": build_reference_relbench,
}

if __name__ == "__main__":
    main()
