"""What a version's manifest says, as a value: where the model comes from, what it is, how good, and its files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

FORMAT = 4
"""Of the folder of a version; it changes when what lies there is read differently."""

Scores = dict[str, float | None]
"""Metrics by name; None where one cannot be computed."""


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """Everything that is known of a version beside its parameters; nested dictionaries are as JSON has them.

    Named by the registry: ``task``, ``version``, ``created_at`` and ``files``, the hash of every file by its path.

    Lineage: the ``snapshot`` and the moment it shows, ``feature_cutoff`` (the newest time that shaped features),
    ``signature`` (the schema that is needed), ``task_config`` and ``config`` of training, how many ``labels`` there
    were by split, which were ``dropped`` and why, ``warnings`` and ``notes`` for the reader.

    The model: shapes of its ``networks``, number of ``parameters``, ``neighbors`` that it samples, the fitted
    objective (``output``), how many ``trees`` each group has, what its ``embedding`` is, how much the network counts
    (``network_weight``); of a ranking, the table of ``items`` and how many are asked for (``top``).

    Evaluation: ``metrics`` by split, those of its ``parts`` alone and of ``baselines``, ``intervals`` by name, the
    ``comparison`` with the best baseline, ``history`` of epochs, settings that were ``tried``, the ``explanation`` and
    ``importance`` of parts and features, ``blend`` and ``calibration`` in words, and the ``error_band`` of numbers.
    """

    format: int = 0
    task: str = ""
    version: str = ""
    created_at: str = ""
    files: dict[str, str] = field(default_factory=dict)

    task_type: str = ""
    task_config: dict[str, Any] = field(default_factory=dict)
    snapshot: str = ""
    snapshot_as_of: str = ""
    feature_cutoff: str = ""
    signature: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    code_version: str = ""
    torch_version: str = ""
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    unknown_entities: dict[str, int] = field(default_factory=dict)
    default_metric: str = ""
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    parameters: int = 0
    neighbors: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)
    trees: list[int] = field(default_factory=list)
    embedding: str = "network"
    network_weight: float = 1.0
    items: str | None = None
    top: int | None = None

    metrics: dict[str, Scores] = field(default_factory=dict)
    parts: dict[str, dict[str, Scores]] = field(default_factory=dict)
    baselines: dict[str, dict[str, Scores]] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    comparison: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    tried: list[dict[str, Any]] = field(default_factory=list)
    explanation: dict[str, Any] = field(default_factory=dict)
    importance: dict[str, float] = field(default_factory=dict)
    blend: str = ""
    calibration: str = ""
    error_band: dict[str, Any] | None = None
    window_features: dict[str, int] | None = None
    tree_objective: str | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelManifest:
        """Read what :meth:`to_dict` wrote, here or in another version of Forekey (then :attr:`format` differs).

        ``ValueError`` where that is something else.
        """
        usual, known = cls(), {f.name for f in fields(cls)}
        for name in known & data.keys():
            expected = getattr(usual, name)
            kinds = (int, float) if isinstance(expected, float) else type(expected)
            if expected is not None and not isinstance(data[name], kinds):
                raise ValueError(f"{name} is {data[name]!r}")
        if not all(isinstance(scores, dict) for scores in data.get("metrics", {}).values()):
            raise ValueError("metrics are not by split")
        return cls(**{name: value for name, value in data.items() if name in known})
