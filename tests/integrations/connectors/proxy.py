"""A TCP proxy on loopback that cuts one connection in the middle of an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class CuttingProxy:
    """Forwards to a port of loopback; cuts the first connection that has answered
    more than `after_bytes`, and leaves later ones alone. `cuts` counts."""

    def __init__(self, target: int, *, after_bytes: int) -> None:
        self.target = target
        self.after_bytes = after_bytes
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for opened in [self._listener, *self._open]:
            _end(opened)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inward, _address = self._listener.accept()
                outward = socket.create_connection(("127.0.0.1", self.target))
                self._open += [inward, outward]
                for source, sink, counts in (
                    (inward, outward, False),
                    (outward, inward, True),
                ):
                    threading.Thread(
                        target=self._copy, args=(source, sink, counts), daemon=True
                    ).start()

    def _copy(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if counts and not self.cuts and passed > self.after_bytes:
                    self.cuts += 1
                    break
                sink.sendall(data)
        _end(source)
        _end(sink)


def _end(opened: socket.socket) -> None:
    # Closing alone would leave a thread waiting in recv or accept.
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()
