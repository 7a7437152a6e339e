"""What the service answers, as types: they describe every route in the OpenAPI document, with an example each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from forekey.monitoring import Alert, DriftLine, EdgeStatistics, LogLine, Quality, State, TableStatistics

Mode = Literal["stored", "online", "auto"]
Id = int | str
MAX_IDS = 10_000
"""How many ids one request may name."""


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": values}, protected_namespaces=())


_CHURN = {"entity_id": 7, "prediction": 0.0127, "eligible": True}
_MADE = {"model_version": "v2", "as_of": "2018-01-01T04:01:20"}


class PredictRequest(BaseModel):
    """Whom to predict for, up to 10,000 at once."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"entity_ids": [7, 8], "mode": "auto"}})
    entity_ids: Annotated[
        list[StrictInt | StrictStr], Field(min_length=1, max_length=MAX_IDS, description="Primary keys.")
    ]
    mode: Annotated[Mode, Field(description="Look up, compute now, or look up and compute what is missing.")] = "auto"


class Prediction(BaseModel):
    """A prediction for one entity."""

    model_config = _example(**_CHURN, **_MADE, mode="stored")
    entity_id: Id
    prediction: Annotated[
        float | str | list[float] | list[Id],
        Field(
            description="A probability of yes, a number, the likeliest class, the classes that are likelier than not, "
            "the timeframes of a forecast, or the keys of ranked items, the best first."
        ),
    ]
    probabilities: Annotated[dict[str, float] | None, Field(description="Of each class.")] = None
    eligible: Annotated[bool | None, Field(description="Whether the task's WHERE holds for the entity.")] = None
    model_version: str
    as_of: Annotated[str, Field(description="What is known up to this time (UTC) was used.")]
    mode: Annotated[Literal["stored", "online"], Field(description="Whether it was looked up or computed now.")]
    scores: Annotated[list[float] | None, Field(description="Of ranked items, in their order.")] = None


class TaskPrediction(Prediction):
    """A prediction for one entity, with its task."""

    model_config = _example(task="churn", **_CHURN, **_MADE, mode="stored")
    task: str


class Predictions(BaseModel):
    """Predictions for several entities."""

    model_config = _example(
        task="churn", predictions=[{**_CHURN, **_MADE, "mode": "stored"}], unknown=[99], mixed_as_of=False
    )
    task: str
    predictions: list[Prediction]
    unknown: Annotated[list[Id], Field(description="Ids that no row has.")]
    mixed_as_of: Annotated[bool, Field(description="Whether the predictions are as of different times.")]


class Part(BaseModel):
    """A part of the data and by how much it raises the prediction."""

    table: str | None = None
    column: str | None = None
    hop: Annotated[int | None, Field(description="All that is so many foreign keys away, or further.")] = None
    effect: float


class Neighbor(BaseModel):
    """A row that the entity refers to, or that refers to it, and by how much it raises the prediction."""

    table: str
    key: Id | None
    relation: str
    effect: float


class Reason(BaseModel):
    """What raises the score of a ranked item: in words, the feature, its value, and its part of the score."""

    what: str
    feature: str
    value: float | None
    effect: float


class RankedItem(BaseModel):
    """A ranked item and what its score is made of."""

    item: Id
    towers: float
    usual: float
    reasons: list[Reason]


class Explanation(BaseModel):
    """What drives a prediction as computed now, the strongest first."""

    model_config = _example(
        task="churn",
        entity_id=7,
        prediction=0.0127,
        tables=[{"table": "baskets", "effect": -0.21}],
        columns=[{"table": "baskets", "column": "total", "effect": -0.02}],
        hops=[{"hop": 1, "effect": -0.24}],
        neighbors=[{"table": "baskets", "key": 31198459904, "relation": "baskets.household_id", "effect": -0.01}],
        **_MADE,
    )
    task: str
    entity_id: Id
    prediction: float | None = None
    items: Annotated[list[RankedItem] | None, Field(description="Of a ranking.")] = None
    tables: list[Part]
    columns: list[Part]
    hops: list[Part]
    neighbors: list[Neighbor] | None = None
    model_version: str
    as_of: str


class Embedding(BaseModel):
    """The stored vector of one entity."""

    model_config = _example(task="churn", entity_id=7, embedding=[0.12, -0.4], kind="network", version="v2-1", **_MADE)
    task: str
    entity_id: Id
    embedding: list[float]
    kind: Annotated[Literal["network", "trees"], Field(description="What the vector is of.")]
    version: str
    model_version: str
    as_of: str


class Similarity(BaseModel):
    """Another entity and the cosine of the two vectors."""

    entity_id: Id
    similarity: float


class Similar(BaseModel):
    """The entities with the most similar vectors, nearest first."""

    model_config = _example(task="churn", entity_id=7, similar=[{"entity_id": 8, "similarity": 0.98}], **_MADE)
    task: str
    entity_id: Id
    similar: list[Similarity]
    model_version: str
    as_of: str


Scores = dict[str, float | None]


class Stored(BaseModel):
    """What is stored of a task."""

    model_config = ConfigDict(protected_namespaces=())
    task: str
    version: str
    model_version: str
    as_of: str
    created_at: str
    entities: int
    channels: int
    outputs: int
    task_type: str
    classes: list[str] | None = None
    kind: Literal["network", "trees"]


class TaskEntry(BaseModel):
    """A task with its champion and what is stored of it."""

    task: str
    query: str | None
    champion: str | None
    task_type: str | None
    metrics: dict[str, Scores] | None
    embeddings: Stored | None


class Tasks(BaseModel):
    """The tasks of the project."""

    tasks: list[TaskEntry]


class Version(BaseModel):
    """A model version and what it was made from."""

    task: str
    version: str
    created_at: str
    task_type: str
    snapshot: str
    snapshot_as_of: str
    task_config: dict[str, Any]
    config: dict[str, Any]
    code_version: str
    parameters: int
    metrics: dict[str, Scores]
    seconds: float


class Models(BaseModel):
    """All model versions."""

    models: list[Version]


class Health(BaseModel):
    """That the process answers."""

    model_config = _example(status="ok", version="0.1.0")
    status: str
    version: str


class Ready(BaseModel):
    """Whether there is something to serve, and of which tasks."""

    model_config = _example(ready=True, tasks=["churn"])
    ready: bool
    tasks: list[str]


class Problem(BaseModel):
    """An error (RFC 9457): what is wrong, where, and what to do."""

    model_config = _example(
        type="about:blank", title="UnknownEntity", status=404, detail="There is no entity '99' for task 'churn'."
    )
    type: str
    title: str
    status: int
    detail: str


class MonitoredGraph(BaseModel):
    """Statistics of tables and edge types, and of which tables drift was not measured, and why."""

    tables: list[TableStatistics]
    edges: list[EdgeStatistics]
    not_measured: dict[str, str]


class Monitored(BaseModel):
    """What the monitors saw when they last looked."""

    at: str
    snapshot: str
    as_of: str
    state: State
    alerts: list[Alert]
    quality: list[Quality]
    drift: list[DriftLine]
    graph: MonitoredGraph
    latency: dict[str, dict[str, float]]
    log: LogLine
    checked: dict[str, int]
