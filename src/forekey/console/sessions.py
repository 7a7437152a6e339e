"""Who is looking: a signed cookie for those who pasted a key, and tokens by which a form shows that it is ours."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from forekey.errors import ServeError
from forekey.files import create_whole
from forekey.workspace import Workspace

SECONDS = 12 * 3600
"""For how long somebody stays signed in."""
_SECRET, _BYTES = "console.secret", 32


@dataclass(frozen=True, slots=True)
class Visit:
    """One browser: a random ``nonce`` that its cookie carries, and whether a key was pasted (or none is needed)."""

    nonce: str
    is_signed_in: bool
    is_new: bool = False


class Sessions:
    """Reads and writes cookies. Without keys everybody is signed in; forms carry tokens all the same."""

    def __init__(self, secret: bytes, keys: tuple[str, ...]) -> None:
        self._keys = [k.encode() for k in keys]
        # A cookie is worth nothing once the keys have changed.
        self._secret = hashlib.sha256(b"\0".join([secret, *self._keys])).digest()
        self._cookies = URLSafeTimedSerializer(self._secret, salt="forekey console")
        self._ended: set[str] = set()
        # Cookies do not know ports: projects that are served side by side must not take each other's.
        self.name = f"forekey_console_{hashlib.sha256(secret).hexdigest()[:8]}"

    @classmethod
    def of(cls, workspace: Workspace, keys: tuple[str, ...]) -> Sessions:
        """Return the sessions of a project; its secret is made once and shared by all processes that serve it."""
        return cls(_secret_of(workspace.place("serving") / _SECRET), keys)

    @property
    def needs_key(self) -> bool:
        """Whether people must sign in."""
        return bool(self._keys)

    def read(self, cookie: str | None) -> Visit:
        """Return whose cookie it is; that of a new visitor where it is missing, forged or too old."""
        try:
            nonce, signed_in = self._cookies.loads(cookie or "", max_age=SECONDS)
            if nonce in self._ended:
                return self._stranger()
            return Visit(str(nonce), bool(signed_in) or not self.needs_key)
        except (BadSignature, ValueError, TypeError):
            return self._stranger()

    def sign_out(self, visit: Visit) -> None:
        """Let a visit's cookie be worth nothing from now on, in this process."""
        self._ended.add(visit.nonce)

    def cookie(self, visit: Visit) -> str:
        """Return what the cookie of a visit holds."""
        return str(self._cookies.dumps([visit.nonce, visit.is_signed_in]))

    def sign_in(self, key: str) -> Visit | None:
        """Return the visit of somebody who pasted a key, under a new nonce; None for a wrong key."""
        # Compared with every key, always, so that timing shows nothing.
        matches = [hmac.compare_digest(key.strip().encode(), known) for known in self._keys]
        return Visit(secrets.token_urlsafe(18), True, is_new=True) if any(matches) else None

    def token(self, visit: Visit) -> str:
        """Return what every form of a visit carries (a synchronizer token bound to the cookie; OWASP)."""
        return hmac.new(self._secret, visit.nonce.encode(), "sha256").hexdigest()

    def _stranger(self) -> Visit:
        return Visit(secrets.token_urlsafe(18), not self.needs_key, is_new=True)

    def is_ours(self, visit: Visit, token: str) -> bool:
        """Whether a form was made for this visit."""
        return hmac.compare_digest(self.token(visit).encode(), token.encode())


def _secret_of(path: Path) -> bytes:
    """Return a project's secret. Of several processes that make it at once, one is first, and all read that one's."""
    if not path.is_file():
        create_whole(path, secrets.token_hex(_BYTES))
    found = path.read_bytes()
    if len(found) != 2 * _BYTES:
        raise ServeError(f"'{path}' is damaged. Delete it; people will have to sign in again.")
    return found
