"""A worker process whose 50 threads need the same expired access at once."""

from __future__ import annotations

import sys
import threading

import django

django.setup()

from integrations import connecting  # noqa: E402
from integrations.models import Integration  # noqa: E402

CALLERS = 50

if __name__ == "__main__":
    integration = Integration.objects.get(pk=int(sys.argv[1]))
    told: list[str] = []
    with connecting.opened(integration) as connector:
        barrier = threading.Barrier(CALLERS)

        def call() -> None:
            barrier.wait()
            try:
                told.append(connector.check())
            except Exception as exc:
                told.append(repr(exc))

        threads = [threading.Thread(target=call) for _ in range(CALLERS)]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    good = sum(each.startswith("Connected to") for each in told)
    bad = next((each for each in told if not each.startswith("Connected to")), "")
    sys.stdout.write(f"{good} {bad}\n")
