"""One piece of work of `sync_sources`, in a process of its own, measured from within.

    python -m tests.bench.sync_work POSTMASTER KIND [argument ..]

Prints one line of JSON: records, seconds, CPU seconds of this process (with ended
children) and of the whole database server, and MiB at the peak above what the process
held when all was imported. KIND: sync, read, limit or dlt.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from churnguard import garbage

MIB = 2**20


def measure(postmaster: int, work: Callable[[], int]) -> dict[str, float]:
    """Call `work`, which returns how many records it had, and say what it took."""
    server = psutil.Process(postmaster)
    gc.collect()
    # From here on the kernel notes the peak anew.
    Path("/proc/self/clear_refs").write_text("5")
    idle = _status("VmRSS")
    own_s, server_s = _own_s(), _server_s(server)
    started = time.perf_counter()
    records = work()
    return {
        "records": records,
        "seconds": time.perf_counter() - started,
        "own_s": _own_s() - own_s,
        "server_s": _server_s(server) - server_s,
        "peak_mib": (_status("VmHWM") - idle) / MIB,
    }


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {name} in /proc/self/status")


def _own_s() -> float:
    t = psutil.Process().cpu_times()
    return float(t.user + t.system + t.children_user + t.children_system)


def _server_s(server: psutil.Process) -> float:
    """Sessions that have ended are counted in their parent; read anew when one ended
    meanwhile, or it would be missed or counted twice."""
    while True:
        try:
            children = server.children()
            t = server.cpu_times()
            total = t.user + t.system + t.children_user + t.children_system
            for child in children:
                t = child.cpu_times()
                total += t.user + t.system
            if server.children() == children:
                return float(total)
        except psutil.NoSuchProcess:
            continue


def prepare_sync(public_id: str, expected: str) -> Callable[[], int]:
    """Our engine: a run in full, from the claim to the end. expected: what the
    records must have become, "inserted" or "unchanged"."""
    integration = _integration(public_id)
    from churnguard.models import Batch
    from integrations import runs
    from integrations.models import RunStream

    # The engine is imported at the first run, which is no part of what is measured.
    import_module("integrations.sync")
    garbage.settle()  # as a worker does when it starts

    def work() -> int:
        run = runs.start(integration, mode="full")
        assert runs.run_now(run.pk, within_s=86_400)
        run.refresh_from_db()
        (part,) = RunStream.objects.filter(run=run)
        found = {name: getattr(part, name) for name in Batch.COUNTERS}
        if run.status != "completed" or found[expected] != part.fetched:
            raise RuntimeError(f"{run.status} {part.error_detail} {found}")
        return int(part.fetched)

    return work


def prepare_read(public_id: str) -> Callable[[], int]:
    """Reading alone: every page the connector makes, as in a run that reads all;
    nothing is stored."""
    integration = _integration(public_id)
    from integrations import catalog, connecting
    from integrations.connectors.base import ReadRequest
    from integrations.models import StreamState

    garbage.settle()

    def work() -> int:
        state = StreamState.objects.get(integration=integration)
        stream = catalog.stream_of(state)
        request = ReadRequest(mode="full", batch_size=integration.batch_size)
        with connecting.opened(integration) as connector:
            return sum(len(page.records) for page in connector.read(stream, request))

    return work


def prepare_limit(
    source: str, target: str, shape: str, table: str
) -> Callable[[], int]:
    """The hand-written limit."""
    from tests.bench import sync_limit

    return lambda: sync_limit.load(source, target, shape=shape, table=table)


def prepare_dlt(
    port: str, sockets: str, database: str, folder: str
) -> Callable[[], int]:
    """dlt's own REST source and its PostgreSQL destination, set up as its manual has
    it: merge by primary key, everything else left at its defaults."""
    import dlt
    from dlt.destinations import postgres
    from dlt.sources.rest_api import rest_api_source

    # dlt wants a host name; libpq takes the folder of the socket, named later.
    address = f"postgresql://churnguard:none@localhost/{database}?host={sockets}"
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=folder,
        destination=postgres(address),
        dataset_name="bench",
    )
    source = rest_api_source(
        {
            "client": {"base_url": f"http://127.0.0.1:{port}/"},
            "resources": [
                {
                    "name": "contacts",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "endpoint": {
                        "path": "contacts",
                        "params": {"limit": 1000},
                        "data_selector": "rows",
                        "paginator": {
                            "type": "cursor",
                            "cursor_path": "next",
                            "cursor_param": "after",
                        },
                    },
                }
            ],
        }
    )

    def work() -> int:
        pipeline.run(source).raise_on_failed_jobs()
        with pipeline.sql_client() as client:
            found: Any = client.execute_sql("SELECT count(*) FROM contacts")
            return int(found[0][0])

    return work


def _integration(public_id: str) -> Any:
    import django

    django.setup()
    from integrations.models import Integration

    return Integration.objects.get(public_id=public_id)


KINDS: dict[str, Callable[..., Callable[[], int]]] = {
    "sync": prepare_sync,
    "read": prepare_read,
    "limit": prepare_limit,
    "dlt": prepare_dlt,
}

if __name__ == "__main__":
    prepared = KINDS[sys.argv[2]](*sys.argv[3:])
    sys.stdout.write(json.dumps(measure(int(sys.argv[1]), prepared)) + "\n")
