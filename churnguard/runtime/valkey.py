"""Private Valkey servers on unix sockets.

The bus carries nudges and live notes and forgets nothing (append-only file, flushed at
every write). The cache holds what can be computed again.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.parse import quote

import redis

from churnguard.runtime import binaries
from churnguard.runtime.services import Service, last_words

OPTIONS = {
    "bus": "--appendonly yes --appendfsync always --maxmemory-policy noeviction",
    "cache": "--appendonly no --maxmemory 128mb --maxmemory-policy allkeys-lru",
    # For tests only.
    "forgetful": "--appendonly no --maxmemory-policy noeviction",
}


_UNREADABLE = "Bad file format reading the append only file"


class EmbeddedValkey:
    """One Valkey process; `role` is "bus" or "cache"."""

    def __init__(
        self, home: Path, *, role: str, sockets: Path, durable: bool = True
    ) -> None:
        self.name = f"valkey-{role}"
        self.data = home / self.name
        self.log_file = home / "log" / f"{self.name}.log"
        self.socket = sockets / f"{role}.sock"
        self._options = OPTIONS[role if durable else "forgetful"]

    @property
    def url(self) -> str:
        """The address for redis-py: `unix:///path?db=0`."""
        return f"unix://{quote(str(self.socket))}?db=0"

    def prepare(self) -> None:
        """Make its folder. Raises ConfigError where no server program is found."""
        binaries.find_valkey()
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)

    def service(self) -> Service:
        """How to run it; ready once it answers PING."""
        argv = [
            str(binaries.find_valkey()),
            *("--port", "0", "--unixsocket", str(self.socket)),
            *("--unixsocketperm", "700", "--dir", str(self.data), "--save", ""),
            *("--daemonize", "no", "--loglevel", "notice", *self._options.split()),
        ]
        return Service(
            name=self.name,
            argv=argv,
            env={**os.environ, "LC_ALL": "C"},
            cwd=self.data,
            log_file=self.log_file,
            before_start=self.set_broken_file_aside,
            is_ready=self.is_ready,
        )

    def set_broken_file_aside(self) -> None:
        """Begin empty after a start that could not read the append-only file.

        A torn end repairs itself; this is damage in the middle. Nothing is lost: what
        the bus carries can be found again in the database.
        """
        if _UNREADABLE not in last_words(self.service(), lines=3):
            return
        aside = self.data.with_name(f"{self.name}.broken-{time.time_ns()}")
        self.data.rename(aside)
        self.prepare()
        with self.log_file.open("a") as log:
            log.write(f"The damaged files are kept in {aside}\n" * 3)

    def is_ready(self) -> bool:
        """Whether it answers PING; False while it still reads its file."""
        client = redis.Redis(
            unix_socket_path=str(self.socket),
            socket_timeout=2,
            socket_connect_timeout=2,
        )
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()
