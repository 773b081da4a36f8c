"""Serving the routes from a thread of the daemon."""

from __future__ import annotations

import socket
import threading

import uvicorn
from litestar import Litestar


class PortTaken(OSError):
    """The address in `http.listen` cannot be listened on."""


class WebServer:
    """An HTTP server in its own thread, from `start` to `close`."""

    def __init__(self, app: Litestar, listen: str) -> None:
        self._socket = _bound(listen)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="web", daemon=True
        )

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`: with port 0 the system has chosen one."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Answers from now on."""
        self._thread.start()

    def close(self) -> None:
        """Finishes the answers under way and gives the port back."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._socket.close()


def _bound(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise PortTaken(
            f"cannot listen on {listen} (http.listen): {error.strerror or error}. "
            "Free the port, or set another address."
        ) from error
    return listener
