"""Every key-value store keeps the same promises; embeddings are read one whole version at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forekey.errors import ProjectError, StoreError
from forekey.objectives import Numbers
from forekey.project import Config
from forekey.store import EmbeddingStore, EmbeddingVersion, KeyValueStore, open_store
from forekey.store.lmdb_store import LmdbStore
from forekey.testing import MemoryStore
from forekey.workspace import Workspace
from tests.support.servers import running_valkey


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A real Redis-compatible server."""
    with running_valkey() as server:
        yield server.url


@pytest.fixture(params=["memory", "lmdb", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValueStore]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "lmdb":
        with LmdbStore(tmp_path / "store") as opened:
            yield opened
    else:
        url = request.getfixturevalue("valkey_url")
        with open_store(Workspace(tmp_path, Config(source="x", store=url))) as opened:
            yield opened


def test_what_is_put_is_got(store: KeyValueStore) -> None:
    items = {b"a/1": b"one", b"a/2": b"", b"b/1": bytes(range(256)), "ü".encode(): b"x" * 100_000}
    store.put_many(items.items())
    assert store.get_many([*items, b"missing"]) == [*items.values(), None]
    assert store.get(b"a/1") == b"one"
    assert store.get_many([]) == []
    store.put_many([(b"a/1", b"uno")])
    assert store.get(b"a/1") == b"uno"


def test_prefixes_are_scanned_and_deleted_literally(store: KeyValueStore) -> None:
    store.put_many([(b"a*/1", b"x"), (b"a*/2", b"y"), (b"ab/1", b"z"), (b"a[b]", b"w")])
    assert dict(store.scan(b"a*/")) == {b"a*/1": b"x", b"a*/2": b"y"}
    store.delete_prefix(b"a*")
    assert store.get_many([b"a*/1", b"ab/1", b"a[b]"]) == [None, b"z", b"w"]
    store.delete_prefix(b"nothing")


def version(name: str = "v1-a", entities: int = 3) -> EmbeddingVersion:
    return EmbeddingVersion(
        "churn", name, "v1", "2024-01-01T00:00:00", "2024-01-02T00:00:00", entities, 4, 1, "regression", ()
    )


def publish(store: KeyValueStore, which: EmbeddingVersion, offset: float = 0.0) -> None:
    keys = [1, "Ünï", "k" * 5000]
    embeddings = np.arange(12, dtype=np.float32).reshape(3, 4) + np.float32(offset)
    EmbeddingStore(store).publish(
        which, keys, Numbers(np.array([0.1, 0.2, 0.3]) + offset), embeddings, np.array([True, False, True])
    )


def test_records_come_back_as_they_were(store: KeyValueStore) -> None:
    publish(store, version())
    embeddings = EmbeddingStore(store)
    current = embeddings.current("churn")
    assert current == version()
    records = embeddings.get_many(current, ["1", "Ünï", "k" * 5000, 2])
    assert records[3] is None
    assert [r.eligible for r in records if r] == [True, False, True]
    assert current.predictions([r for r in records if r]).values.tolist() == [0.1, 0.2, 0.3]
    assert records[1] is not None
    assert records[1].embedding.tolist() == [4, 5, 6, 7]
    assert len(list(embeddings.scan(current))) == 3


def test_a_reader_keeps_its_version_until_the_one_after_the_next(store: KeyValueStore) -> None:
    embeddings = EmbeddingStore(store)
    publish(store, version("v1-a"))
    held = embeddings.current("churn")
    assert held is not None
    publish(store, version("v1-b"), offset=10.0)
    old = embeddings.get_many(held, [1])[0]
    new = embeddings.get_many(version("v1-b"), [1])[0]
    assert old is not None
    assert new is not None
    assert held.predictions([old, new]).values.tolist() == [0.1, 10.1]
    publish(store, version("v1-c"))
    assert embeddings.get_many(held, [1]) == [None]


def test_what_was_cut_short_is_swept_up_but_what_may_still_be_written_is_not(
    store: KeyValueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = iter([True, False])
    original = store.put_many

    def put_many(items):  # type: ignore[no-untyped-def]
        if not next(writes):
            original(list(items)[:1])
            raise KeyboardInterrupt
        original(items)

    store.put_many = put_many  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        publish(store, version("v1-cut"))
    store.put_many = original  # type: ignore[method-assign]
    assert EmbeddingStore(store).current("churn") is None
    publish(store, version("v1-meanwhile"))
    assert len(list(store.scan(b"record/churn/v1-cut"))) == 1, "it may be another process, still writing"
    monkeypatch.setattr("forekey.store.embeddings._ABANDONED_SECONDS", -1.0)
    publish(store, version("v1-whole"))
    assert not list(store.scan(b"record/churn/v1-cut"))
    assert len(list(store.scan(b"record/churn/"))) == 6


def test_what_another_version_of_forekey_stored_is_refused_in_plain_words_and_replaced(store: KeyValueStore) -> None:
    publish(store, version("v1-old"))
    meta = store.get(b"meta/churn/v1-old")
    assert meta is not None
    store.put_many([(b"meta/churn/v1-old", meta.replace(b'"format":2', b'"format":1'))])
    with pytest.raises(StoreError, match=r"stored for 'churn' was written by another version .* `forekey embed churn`"):
        EmbeddingStore(store).current("churn")
    publish(store, version("v1-new"))
    found = EmbeddingStore(store).current("churn")
    assert found is not None
    assert found.version == "v1-new"


def test_tasks_do_not_see_each_other(store: KeyValueStore) -> None:
    publish(store, version())
    publish(store, replace(version(), task="churn2"), offset=1.0)
    assert EmbeddingStore(store).current("other") is None
    record = EmbeddingStore(store).get_many(version(), [1])[0]
    assert record is not None
    assert version().predictions([record]).values.tolist() == [0.1]


def test_two_holders_in_one_process_share_an_lmdb_file(tmp_path: Path) -> None:
    first, second = LmdbStore(tmp_path), LmdbStore(tmp_path)
    first.put_many([(b"a", b"1")])
    first.close()
    first.close()
    assert second.get(b"a") == b"1"
    second.close()
    with LmdbStore(tmp_path) as again:
        assert again.get(b"a") == b"1"


def test_a_server_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    project = Workspace(tmp_path, Config(source="x", store="redis://127.0.0.1:1/0"))
    with pytest.raises(StoreError, match="does not answer") as caught:
        project.store()
    assert caught.value.exit_code == 3


def test_an_unknown_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="Use lmdb, or redis"):
        open_store(Workspace(tmp_path, Config(source="x", store="memcached://x")))
