"""Model versions are folders that appear whole; champions change by promotion and go back by rollback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forekey.errors import ModelError
from forekey.registry import ModelManifest, ModelVersion, Registry


def register(registry: Registry, task: str = "churn") -> str:
    return registry.register(task, ModelManifest(), _write).version


def _write(draft: ModelVersion) -> None:
    draft.weights.write_bytes(b"w")
    (draft.folder / "features.json").write_text('{"tables": []}')


def test_versions_count_up_and_keep_what_they_were_given(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    assert [register(registry) for _ in range(11)] == [f"v{i}" for i in range(1, 12)]
    assert [v.version for v in registry.versions("churn")][-2:] == ["v10", "v11"]
    version = registry.get("churn", "v3")
    assert version.weights.read_bytes() == b"w"
    assert version.features() == {"tables": []}
    assert registry.tasks() == ["churn"]


def test_a_failed_registration_leaves_no_version(tmp_path: Path) -> None:
    registry = Registry(tmp_path)

    def fail(_: ModelVersion) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        registry.register("churn", ModelManifest(), fail)
    assert registry.versions("churn") == []
    assert register(registry) == "v1"


def test_promotion_and_rollback_keep_their_history(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(ModelError, match="no model yet"):
        registry.champion("churn")
    for version in (register(registry), register(registry)):
        registry.promote("churn", version, "because")
    assert registry.champion("churn").version == "v2"
    assert registry.rollback("churn").version == "v1"
    assert [h["version"] for h in registry.history("churn")] == ["v1", "v2", "v1"]
    assert registry.history("churn")[-1]["reason"] == "rolled back from v2"


def test_rolling_back_twice_goes_back_twice_and_a_promotion_starts_a_new_line(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for version in [register(registry) for _ in range(4)][:3]:
        registry.promote("churn", version, "because")
    assert [registry.rollback("churn").version for _ in range(2)] == ["v2", "v1"]
    with pytest.raises(ModelError, match="no earlier champion"):
        registry.rollback("churn")
    registry.promote("churn", "v4", "better")
    registry.promote("churn", "v4", "again")
    assert registry.rollback("churn").version == "v1"


def test_a_history_of_an_earlier_version_is_read_as_it_was_meant(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for _ in range(2):
        register(registry)
    told = [("v1", "first"), ("v2", "better"), ("v1", "rolled back from v2")]
    entries = [{"version": v, "reason": r, "at": "2026-01-01T00:00:00"} for v, r in told]
    for known in (entries, entries[2:]):
        (tmp_path / "churn" / "champion.json").write_text(json.dumps(known))
        with pytest.raises(ModelError, match="no earlier champion"):
            registry.rollback("churn")


def test_what_is_not_there_cannot_be_promoted_or_rolled_back_to(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(ModelError, match="no model 'churn/v9'"):
        registry.promote("churn", "v9", "x")
    registry.promote("churn", register(registry), "first")
    with pytest.raises(ModelError, match="no earlier champion"):
        registry.rollback("churn")


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    register(registry)
    (tmp_path / "churn" / "v1" / "manifest.json").write_text("{")
    with pytest.raises(ModelError, match="is damaged"):
        registry.get("churn", "v1")


def test_a_file_that_was_changed_or_lost_is_named(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    version = registry.get("churn", register(registry))
    version.check()
    assert set(version.manifest.files) == {"network.safetensors", "features.json"}
    version.weights.write_bytes(b"v")
    with pytest.raises(ModelError, match=r"churn/v1 is damaged: '.*network\.safetensors' is not what was written"):
        version.check()
    version.weights.unlink()
    with pytest.raises(ModelError, match=r"network\.safetensors' is missing"):
        version.check()


def test_a_version_of_another_format_must_be_trained_again(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    folder = registry.get("churn", register(registry)).folder
    facts = json.loads((folder / "manifest.json").read_text())
    del facts["format"]
    (folder / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(ModelError, match=r"another version of Forekey.*Train the task again"):
        registry.get("churn", "v1").check()


def test_a_number_that_another_process_took_is_passed_over(tmp_path: Path) -> None:
    registry = Registry(tmp_path)

    def slow(draft: ModelVersion) -> None:
        if draft.version == "v1":
            (tmp_path / "churn" / "v1").mkdir()
            (tmp_path / "churn" / "v1" / "manifest.json").write_text("{}")
        (draft.folder / "says").write_text(draft.version)

    version = registry.register("churn", ModelManifest(), slow)
    assert version.version == "v2"
    assert (version.folder / "says").read_text() == "v2"
    assert not list((tmp_path / "churn").glob(".draft*"))
