"""What a number is, its kind says, whatever tables and columns are called."""

from __future__ import annotations

import pytest

from forekey import pipeline
from forekey.features import CALENDAR, LABELS, FeatureKind, Origin, WindowFeatures, fit_windows
from forekey.graph import to_micros
from forekey.project import PQLTask
from forekey.workspace import Workspace
from tests.support.servers import run_all

ODD = (
    "record_label",
    "all x",
    "a: b",
    "stores of newest label_orders: n",
    "all label_orders, 14 days",
    "label 1 before",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Buyers whose odd columns say how often they order, their orders, and the stores that they order from."""
    root = tmp_path_factory.mktemp("odd")
    columns = ", ".join(f'(i % 4 + {n})::DOUBLE AS "{name}"' for n, name in enumerate(ODD))
    url = str(root / "odd.duckdb")
    run_all(
        url,
        (
            f"CREATE TABLE buyers AS SELECT i::INTEGER AS id, {columns} FROM range(80) t(i)",
            "ALTER TABLE buyers ADD PRIMARY KEY (id)",
            "CREATE TABLE stores AS SELECT i::INTEGER AS id, i::DOUBLE AS size FROM range(5) t(i)",
            "ALTER TABLE stores ADD PRIMARY KEY (id)",
            "CREATE TABLE label_orders AS SELECT (i * 80 + b)::INTEGER AS id, b::INTEGER AS buyer_id, "
            "((i + b) % 5)::INTEGER AS store_id, TIMESTAMP '2024-01-01' + i * INTERVAL 1 DAY + b * INTERVAL 1 MINUTE AS placed, "
            "1.0 * ((i + b) % 3) AS label FROM range(300) t(i), range(80) u(b) WHERE (i * 31 + b * 17) % 97 < 8 * (b % 4)",
        ),
    )
    task = PQLTask(query="PREDICT COUNT(label_orders.*, 0, 14, days) FOR EACH buyers.id")
    made = pipeline.init(url, root / "project", tasks={"often": task}).workspace
    pipeline.snapshot(made)
    return made


def test_kinds_and_origins_do_not_follow_from_names(project: Workspace) -> None:
    snapshot = project.snapshots.current()
    spec = fit_windows(snapshot, "buyers", to_micros(snapshot.as_of), 14.0)
    features = WindowFeatures(snapshot, spec)
    found = [(f.name, f.kind, f.origin) for f in features.features]
    for name in ODD:
        assert (name, FeatureKind.OWN_COLUMN, Origin("buyers", name, 0)) in found
    assert ("all label_orders, 14 days", FeatureKind.POPULATION, Origin("label_orders")) in found
    assert ("label_orders: sum label, 14 days", FeatureKind.OWN_WINDOW, Origin("label_orders", "label", 1)) in found
    assert ("sine of the year", FeatureKind.CALENDAR, Origin(CALENDAR)) in found
    newest = {kind for name, kind, _ in found if name.startswith("stores of newest label_orders: ") and name not in ODD}
    assert newest <= {FeatureKind.NEWEST_COLUMN, FeatureKind.NEWEST_WINDOW}
    assert newest
    assert not any(origin == Origin(LABELS) for _, _, origin in found)


def test_baselines_learn_from_columns_whatever_they_are_called(project: Workspace) -> None:
    report = pipeline.train(project, "often", preset="fast")
    error = {name: scores["test"]["mae"] for name, scores in report.baselines.items()}
    assert error["lightgbm_columns"] < 0.5 * error["constant"], "the odd columns say how often a buyer orders"
