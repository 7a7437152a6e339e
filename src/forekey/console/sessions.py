"""Who is looking: a signed cookie for those who pasted a key, and tokens by which a form shows that it is ours."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from itsdangerous import BadSignature, URLSafeTimedSerializer

from forekey.files import whole
from forekey.workspace import Workspace

COOKIE = "forekey_console"
SECONDS = 12 * 3600
"""For how long somebody stays signed in."""
_SECRET = "console.secret"


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

    @classmethod
    def of(cls, workspace: Workspace, keys: tuple[str, ...]) -> Sessions:
        """Return the sessions of a project; its secret is made once and shared by all processes that serve it."""
        path = workspace.place("serving") / _SECRET
        if not path.is_file():
            with whole(path) as draft:
                draft.touch(mode=0o600)
                draft.write_text(secrets.token_hex(32), encoding="ascii")
        return cls(path.read_bytes(), keys)

    @property
    def needs_key(self) -> bool:
        """Whether people must sign in."""
        return bool(self._keys)

    def read(self, cookie: str | None) -> Visit:
        """Return whose cookie it is; that of a new visitor where it is missing, forged or too old."""
        try:
            nonce, signed_in = self._cookies.loads(cookie or "", max_age=SECONDS)
            return Visit(str(nonce), bool(signed_in) or not self.needs_key)
        except (BadSignature, ValueError, TypeError):
            return Visit(secrets.token_urlsafe(18), not self.needs_key, is_new=True)

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

    def is_ours(self, visit: Visit, token: str) -> bool:
        """Whether a form was made for this visit."""
        return hmac.compare_digest(self.token(visit).encode(), token.encode())
