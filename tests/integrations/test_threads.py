"""Types that threads use first at the same time: msgspec may crash a process there."""

from __future__ import annotations

import subprocess
import sys

import pytest

WORK = """
import threading
{setup}
barrier = threading.Barrier(40)
def work():
    barrier.wait()
    for _ in range(20):
        {call}
threads = [threading.Thread(target=work) for _ in range(40)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("well")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setup", "call"),
    [
        (
            "from integrations.connectors.rest.endpoints import parse_endpoints",
            'parse_endpoints([{"name": "a", "endpoint_url": "/a"}])',
        ),
        (
            "import msgspec\nfrom integrations.breaker import State, _unpack\n"
            "packed = msgspec.json.encode(State())",
            "_unpack(packed)",
        ),
        (
            "from integrations.tabular.layout import parse_layout",
            'parse_layout({"record_type": "customer", "columns": []})',
        ),
    ],
    ids=["endpoints", "breaker", "layout"],
)
def test_first_use_in_many_threads_is_safe(setup: str, call: str) -> None:
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", WORK.format(setup=setup, call=call)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout == "well\n"
