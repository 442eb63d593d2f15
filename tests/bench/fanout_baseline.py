"""The limit for fan-out: `websockets.broadcast` of what one Redis subscription says.

No accounts, no database, no queues: `python -m tests.bench.fanout_baseline PORT`.
"""

from __future__ import annotations

import asyncio
import os
import sys

import redis.asyncio
from websockets.asyncio.server import ServerConnection, broadcast, serve

TOPIC = "bench:fanout"


async def main(port: int) -> None:
    """Serve until the process is ended."""
    connections: set[ServerConnection] = set()

    async def stay(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            connections.discard(connection)

    client = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=None)
    async with serve(stay, "127.0.0.1", port, compression=None), client.pubsub() as bus:
        await bus.subscribe(TOPIC)
        async for message in bus.listen():
            if message["type"] == "message":
                broadcast(connections, message["data"].decode())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
