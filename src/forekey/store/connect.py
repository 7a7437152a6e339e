"""From the ``store:`` of forekey.yaml to an open store."""

from __future__ import annotations

import hashlib

from forekey.errors import ProjectError
from forekey.project import Project
from forekey.secrets import without_password
from forekey.store.protocol import KeyValueStore


def open_store(project: Project) -> KeyValueStore:
    """Open the project's store: ``lmdb`` (in .forekey/) or a ``redis://`` URL."""
    url = project.config.store
    if url == "lmdb":
        from forekey.store.lmdb_store import LmdbStore

        return LmdbStore(project.machine / "store.lmdb")
    if url.startswith(("redis://", "rediss://", "unix://")):
        from forekey.store.redis_store import RedisStore

        # Projects may share a server, so each keeps its keys under a name of its own.
        own = hashlib.blake2b(str(project.root.resolve()).encode(), digest_size=6).hexdigest()
        return RedisStore(url, f"forekey/{own}/".encode())
    raise ProjectError(f"store: '{without_password(url)}' is not known. Use lmdb, or redis://HOST:PORT/DB.")
