"""Values show themselves: one useful line each, and small tables in notebooks."""

from __future__ import annotations

import re

import numpy as np

from forekey import pipeline
from forekey.graph import Seeds, to_micros
from forekey.training import TrainReport
from forekey.workspace import Workspace


def test_what_is_passed_around_is_one_useful_line(trained_project: Workspace) -> None:
    current = trained_project.snapshots.current()
    task = pipeline.find_task(trained_project, current.schema, "churn")
    version = trained_project.registry.champion("churn")
    with trained_project.source() as source:
        labels = task.labels.make(source, current)
    edge = current.schema.edge_types[0]
    seeds = Seeds.at("customers", np.arange(3), to_micros(current.as_of), to_micros(current.as_of) - 5)
    for value, pattern in (
        (trained_project, r"Workspace\('.*', 4 tables, tasks: churn, .*\)"),
        (task, r"Task\('churn', binary_classification of customers\)"),
        (version, r"ModelVersion\(churn/v1, test auroc 0\.\d+\)"),
        (TrainReport.from_version(version), r"TrainReport\(churn v1, test auroc 0\.\d+: By auroc, .*\)"),
        (labels, r"LabelTable\(binary_classification, [\d,]+ train, [\d,]+ val, [\d,]+ test, [\d,]+ dropped\)"),
        (seeds, r"Seeds\(3 of customers, 2024-.*, 3 cut off before\)"),
        (Seeds.at("customers", np.empty(0), 0), r"Seeds\(none of customers\)"),
        (current.adjacency(edge), r"Adjacency\(\w+, [\d,]+ edges and 0 that came since\)"),
        (current.presence("orders"), r"Presence\([\d,]+ rows and 0 that came since\)"),
        (
            pipeline.predict(trained_project, "churn"),
            r"BatchPredictions\(churn/v1, \d+ of 200 customers, as of 2024.*\)",
        ),
    ):
        assert re.fullmatch(pattern, repr(value)), repr(value)


def test_labels_and_predictions_are_small_tables_in_notebooks(trained_project: Workspace) -> None:
    current = trained_project.snapshots.current()
    task = pipeline.find_task(trained_project, current.schema, "churn")
    with trained_project.source() as source:
        labels = task.labels.make(source, current)
    assert labels._repr_html_().count("<tr>") == 11
    assert pipeline.predict(trained_project, "churn")._repr_html_().count("<tr>") == 11
