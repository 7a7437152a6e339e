"""Pairs in numbers: counts as anyone would count them, the same on a database cut at the time, candidates worth it."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.features import PairFeatures, PairSpec, fit_windows, interactions_between
from forekey.graph import MICROS_PER_DAY, Seeds, Snapshot, SnapshotStore, build_snapshot, to_micros
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from tests.support.databases import START, Tables, cut, source_of, table
from tests.support.random_rows import NUMBERS, RandomRows

WINDOW = 7.0
KEY = lambda name: ColumnSchema(name, DType.INTEGER, Stype.ID)  # noqa: E731
AT = ColumnSchema("at", DType.TIMESTAMP, Stype.TIMESTAMP)
SCHEMA = Schema(
    (
        TableSchema("people", (KEY("person_id"),), "person_id"),
        TableSchema("songs", (KEY("song_id"), AT), "song_id", "at"),
        TableSchema(
            "sessions", (KEY("session_id"), KEY("person_id"), AT), "session_id", "at", (ForeignKey("person_id", "people"),)
        ),
        TableSchema(
            "plays", (KEY("session_id"), KEY("song_id"), AT), None, "at",
            (ForeignKey("session_id", "sessions"), ForeignKey("song_id", "songs")),
        ),
    )
)  # fmt: skip


@st.composite
def radios(draw: st.DrawFn) -> Tables:
    """People, songs that come out, sessions of people, plays of songs in sessions; some plays before any of these."""
    r = RandomRows(draw(NUMBERS))
    songs = [(i, r.day(START, 20, none=0.0)) for i in r.different(7, 7)]
    sessions = [(i, r.integer(0, 4), r.day(START, 20, none=0.0)) for i in r.different(10, 10)]
    plays = [(r.integer(0, 10), r.integer(0, 7), r.day(START, 20, none=0.0)) for _ in range(r.size(40))]
    moment = pa.timestamp("us")
    return {
        "people": table({"person_id": pa.int64()}, [(i,) for i in range(4)]),
        "songs": table({"song_id": pa.int64(), "at": moment}, songs),
        "sessions": table({"session_id": pa.int64(), "person_id": pa.int64(), "at": moment}, sessions),
        "plays": table({"session_id": pa.int64(), "song_id": pa.int64(), "at": moment}, plays),
    }


def built(tables: Tables, folder: str, name: str = "full") -> Snapshot:
    return build_snapshot(source_of(tables), SCHEMA, SnapshotStore(Path(folder) / name))


def features(snapshot: Snapshot, cutoff: int) -> PairFeatures:
    known = interactions_between(SCHEMA, "people", "songs")
    windows = fit_windows(snapshot, "songs", cutoff, WINDOW)
    return PairFeatures(snapshot, PairSpec("people", "songs", WINDOW, known, windows))


def test_what_joins_people_and_songs_is_found() -> None:
    assert [i.name for i in interactions_between(SCHEMA, "people", "songs")] == [
        "plays (session_id.person_id, song_id)"
    ]


def plays_seen(tables: Tables, moment: datetime) -> list[tuple[int, int, datetime]]:
    """Return person, song and moment of each play that counts by a moment: all between it and the two was there."""
    sessions = {r["session_id"]: r for r in tables["sessions"].to_pylist()}
    songs = {r["song_id"]: r for r in tables["songs"].to_pylist()}
    found = []
    for play in tables["plays"].to_pylist():
        session, song = sessions.get(play["session_id"]), songs.get(play["song_id"])
        if session is not None and song is not None and session["person_id"] < 4:
            seen = max(play["at"], session["at"], song["at"])
            if seen <= moment:
                found.append((session["person_id"], play["song_id"], seen))
    return found


@given(radios(), st.integers(0, 22))
def test_counts_are_those_of_a_plain_reading(tables: Tables, day: int) -> None:
    moment = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        snapshot = built(tables, folder)
        pairs = features(snapshot, to_micros(moment))
        rows = np.arange(4, dtype=np.int32)
        times = np.full(4, to_micros(moment))
        ptr, items = pairs.candidates(Seeds.at("people", rows, times))
        numbers = pairs.compute(Seeds.at("people", rows, times), ptr, items)
        assert numbers.shape == (len(items), len(pairs.features))
        at = {name: i for i, name in enumerate(feature.name for feature in pairs.features)}
        known = plays_seen(tables, moment)
        people, songs = snapshot.keys("people").to_pylist(), snapshot.keys("songs").to_pylist()
        for q in range(4):
            for p in range(ptr[q], ptr[q + 1]):
                own = [t for who, what, t in known if (who, what) == (people[q], songs[items[p]])]
                recent = [t for t in own if t > moment - timedelta(days=WINDOW)]
                heard = [t for _, what, t in known if what == songs[items[p]]]
                assert numbers[p, at["plays of the pair, all time"]] == len(own)
                assert numbers[p, at[f"plays of the pair, {WINDOW:g} days"]] == len(recent)
                assert numbers[p, at["plays of the item, all time"]] == len(heard)
                assert numbers[p, at["plays of the entity, all time"]] == sum(who == people[q] for who, _, _ in known)
                assert numbers[p, at["different items in plays of the entity"]] == len(
                    {s for who, s, _ in known if who == people[q]}
                )
                if own:
                    assert numbers[p, at["days since the pair's last of plays"]] == pytest.approx(
                        (moment - max(own)) / timedelta(days=1)
                    )
                else:
                    assert np.isnan(numbers[p, at["days since the pair's last of plays"]])


@given(radios(), st.integers(0, 22))
def test_pairs_at_t_do_not_depend_on_rows_after_t(tables: Tables, day: int) -> None:
    moment = START + timedelta(days=day)
    with tempfile.TemporaryDirectory() as folder:
        snapshots = built(tables, folder), built(cut(tables, SCHEMA, moment), folder, "past")
        rows, times = np.arange(4, dtype=np.int32), np.full(4, to_micros(moment))
        told = []
        for snapshot in snapshots:
            pairs = features(snapshot, to_micros(moment))
            ptr, items = pairs.candidates(Seeds.at("people", rows, times))
            told.append(
                (ptr.tobytes(), items.tobytes(), pairs.compute(Seeds.at("people", rows, times), ptr, items).tobytes())
            )
            told[-1] += (
                (pairs.alike(Seeds.at("people", rows, times), 5).tobytes(), pairs.popular(times, 3).tobytes())
                if len(items)
                else ()
            )
    assert told[0][:3] == told[1][:3]
    assert told[0][3:4] == told[1][3:4]


def catalogue(songs: int) -> Tables:
    """Many songs, all out on the first day; three people who play some of them, two of them the same."""
    played = {0: [1, 2, 3], 1: [2, 3, 4], 2: [songs - 1]}
    plays: list[tuple[int, int, datetime]] = [
        (who, song, START + timedelta(days=1 + n)) for who, own in played.items() for n, song in enumerate(own)
    ]
    moment = pa.timestamp("us")
    return {
        "people": table({"person_id": pa.int64()}, [(i,) for i in range(4)]),
        "songs": table({"song_id": pa.int64(), "at": moment}, [(i, START) for i in range(songs)]),
        "sessions": table(
            {"session_id": pa.int64(), "person_id": pa.int64(), "at": moment}, [(i, i, START) for i in range(3)]
        ),
        "plays": table({"session_id": pa.int64(), "song_id": pa.int64(), "at": moment}, plays),
    }


def test_of_many_items_those_that_something_speaks_for_are_candidates(tmp_path: Path) -> None:
    snapshot = built(catalogue(1000), str(tmp_path))
    moment = to_micros(START + timedelta(days=9))
    pairs = features(snapshot, moment)
    rows, times = np.arange(4, dtype=np.int32), np.full(4, moment)
    extra = np.tile(np.array([700, -1, 999], np.int32), (4, 1))
    ptr, items = pairs.candidates(Seeds.at("people", rows, times), extra)
    found = [set(items[ptr[q] : ptr[q + 1]].tolist()) for q in range(4)]
    assert all(len(f) == ptr[q + 1] - ptr[q] <= 200 for q, f in enumerate(found))
    assert {1, 2, 3, 4, 700, 999} <= found[0]
    assert pairs.newest(Seeds.at("people", rows, times), 2).tolist() == [[3, 2], [4, 3], [999, -1], [-1, -1]]
    assert pairs.alike(Seeds.at("people", rows, times), 9)[0].tolist() == [2, 3, 4, -1, -1, -1, -1, -1, -1]
    assert set(pairs.popular(times, 2)[3].tolist()) == {3, 4}  # of the last seven days


def test_an_item_that_is_not_out_yet_is_no_candidate(tmp_path: Path) -> None:
    tables = catalogue(6)
    late = [START] * 5 + [START + timedelta(days=30)]
    tables["songs"] = tables["songs"].set_column(1, "at", pa.array(late, pa.timestamp("us")))
    snapshot = built(tables, str(tmp_path))
    for day, count in ((9, 5), (31, 6)):
        moment = to_micros(START) + day * MICROS_PER_DAY
        ptr, _ = features(snapshot, moment).candidates(Seeds.at("people", np.zeros(1), moment))
        assert ptr.tolist() == [0, count]


def test_a_spec_is_kept_as_json(tmp_path: Path) -> None:
    import json

    snapshot = built(catalogue(5), str(tmp_path))
    spec: Any = features(snapshot, to_micros(START)).spec
    assert PairSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_candidates_do_not_depend_on_how_many_items_there_will_be(tmp_path: Path) -> None:
    tables = catalogue(300)
    born = [START + timedelta(days=i // 30) for i in range(300)]
    tables["songs"] = tables["songs"].set_column(1, "at", pa.array(born, pa.timestamp("us")))
    moment = START + timedelta(days=4)
    snapshots = built(tables, str(tmp_path)), built(cut(tables, SCHEMA, moment), str(tmp_path), "past")
    rows, times = np.arange(4, dtype=np.int32), np.full(4, to_micros(moment))
    told = [features(s, to_micros(moment)).candidates(Seeds.at("people", rows, times)) for s in snapshots]
    assert [ptr.tolist() for ptr, _ in told] == [[0, 150, 300, 450, 600]] * 2
    assert told[0][1].tobytes() == told[1][1].tobytes()
    later = np.full(4, to_micros(START + timedelta(days=9)))
    mixed = np.array([times[0], later[0]])
    ptr, _ = features(snapshots[0], to_micros(moment)).candidates(Seeds.at("people", rows[:2], mixed))
    assert ptr[1] == 150
    assert 0 < ptr[2] - ptr[1] <= 180
