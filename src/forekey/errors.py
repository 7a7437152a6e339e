"""Every error that a user can cause, as one tree.

Each message is one line that says what is wrong, where, and what to do; none shows a secret. Only the command line and
the HTTP handler catch :class:`ForekeyError` as a whole; the exit code and the HTTP status stand with the class.

    ForekeyError                 exit 2, HTTP 400
    ├── ProjectError             a folder that is not a project, or a forekey.yaml that is not valid
    ├── SourceError              a database that cannot be read, a URL that means nothing
    │   └── SourceUnavailable    exit 3: the database does not answer
    ├── SchemaError              a table, column or key that is not there or not fit for its use
    ├── SnapshotError            no snapshot, or one that is damaged
    ├── PQLError               a predictive query that does not parse or does not fit the schema
    ├── TaskError                a task that is unknown, or whose labels cannot be made
    │   └── SplitError           splits that are empty or would leak
    ├── NotMonitored             HTTP 409: the monitors have not looked yet
    ├── ModelError               HTTP 409: no model, or one whose signature the snapshot does not meet
    ├── StoreError               exit 3: the key-value store does not answer
    ├── Busy                     HTTP 503: too much of this is asked at once
    ├── UnknownEntity            HTTP 404: an id that no row has
    ├── UnknownTask              HTTP 404: a task that is not in forekey.yaml
    └── ServeError               the service cannot start: a port in use, an unsafe address
"""

from __future__ import annotations

from typing import ClassVar

from forekey.secrets import without_secrets


class ForekeyError(Exception):
    """The root of the tree: an error that the user can do something about."""

    exit_code: ClassVar[int] = 2
    http_status: ClassVar[int] = 400

    def __init__(self, *message: object) -> None:
        super().__init__(*(without_secrets(part) if isinstance(part, str) else part for part in message))


class ProjectError(ForekeyError):
    """The folder is not a Forekey project, or its forekey.yaml is not valid."""


class SourceError(ForekeyError):
    """The source database cannot be read as it was asked for."""


class DefinedTableError(SourceError):
    """The query by which forekey.yaml defines a table fails on its rows; ``table`` is the table's name."""

    def __init__(self, table: str, reason: str) -> None:
        super().__init__(
            f"The query of '{table}' (tables.{table}.sql in forekey.yaml) fails on its rows: {reason}. Mend it, so "
            "that a value that does not read gives NULL."
        )
        self.table = table


class SourceUnavailable(SourceError):
    """The source database does not answer."""

    exit_code = 3
    http_status = 503


class SchemaError(ForekeyError):
    """A table, column or key is missing or not fit for its use."""


class SnapshotError(ForekeyError):
    """There is no snapshot, or the one there is is damaged."""


class PQLError(ForekeyError):
    """A predictive query does not parse, or does not fit the schema.

    Attributes
    ----------
    query, position:
        The text of the query and the offset (in characters) of what is wrong; ``position`` is None where the
        query as a whole is meant. :meth:`with_caret` draws them.
    """

    def __init__(self, reason: str, query: str = "", position: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.query = query
        self.position = position

    def with_caret(self) -> str:
        """Reason, then the line of the query with a caret under the place."""
        if self.position is None:
            return self.reason
        begin = self.query.rfind("\n", 0, self.position) + 1
        end = self.query.find("\n", self.position)
        line = self.query[begin : end if end >= 0 else len(self.query)]
        return f"{self.reason}\n  {line}\n  {' ' * (self.position - begin)}^"


class TaskError(ForekeyError):
    """The labels of a task cannot be made."""


class UnknownTask(TaskError):
    """No task of this name stands in forekey.yaml."""

    http_status = 404


class SplitError(TaskError):
    """Splits would be empty, or labels of one would reach into the next."""


class NotMonitored(ForekeyError):
    """The monitors have never looked at the project."""

    http_status = 409


class ModelError(ForekeyError):
    """There is no model to use, or the snapshot lacks what the model needs."""

    http_status = 409


class StoreError(ForekeyError):
    """The key-value store does not answer or cannot hold what it was given."""

    exit_code = 3
    http_status = 503


class TrackingError(ForekeyError):
    """A tracking server that does not take what is logged."""

    exit_code = 3


class UnknownEntity(ForekeyError):
    """No row of the entity table has this key."""

    http_status = 404


class Busy(ForekeyError):
    """The service does as much of this as it may at once."""

    http_status = 503


class ServeError(ForekeyError):
    """The service cannot start at the address that was asked for."""
