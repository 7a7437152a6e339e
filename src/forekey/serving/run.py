"""Starting the service."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from forekey.errors import ServeError
from forekey.secrets import without_secrets
from forekey.workspace import Workspace

if TYPE_CHECKING:
    from starlette.applications import Starlette


KEYS_VARIABLE = "FOREKEY_API_KEYS"


def api_keys() -> tuple[str, ...]:
    """Return the keys in the environment variable ``FOREKEY_API_KEYS``, separated by commas."""
    return tuple(k.strip() for k in os.environ.get(KEYS_VARIABLE, "").split(",") if k.strip())


def serve(
    workspace: Workspace,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    insecure: bool = False,
    make_app: Callable[..., Starlette] | None = None,
    on_listening: Callable[[], None] = lambda: None,
) -> None:
    """Serve until interrupted. Refuses an address that others can reach unless a key is set or ``insecure``.

    ``make_app`` makes the application, by default :func:`forekey.serving.create_app`; ``on_listening`` is called once
    the port is taken and the store is open.
    """
    import uvicorn

    from forekey.serving.app import create_app

    keys = api_keys()
    if not keys and not insecure and not _is_loopback(host):
        raise ServeError(
            f"Others could reach {host} and no API key is set. Set {KEYS_VARIABLE}, or use --insecure to serve without."
        )
    listener = listen(host, port)
    try:
        with workspace.store() as store:
            app = (make_app or create_app)(workspace, store, keys, any_host=insecure)
            app.state.serving.engine.warm()
            _log_to_standard_error()
            config = uvicorn.Config(app, log_level="warning", access_log=False)
            for handler in logging.getLogger("uvicorn").handlers:
                handler.setFormatter(_Masked())
            on_listening()
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()


def _log_to_standard_error() -> None:
    """Let the service's own warnings be seen; as a library, Forekey prints none."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Masked())
    logging.getLogger("forekey").addHandler(handler)


class _Masked(logging.Formatter):
    """Lines of the service's log, tracebacks too, without secrets."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s:     %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return one entry."""
        return without_secrets(super().format(record))


def listen(host: str, port: int) -> socket.socket:
    """Take the port now, so that a busy one is reported before anything is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ServeError(
            f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with --port."
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
