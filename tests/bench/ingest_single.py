"""One event per request, committed before the answer.

Against a raw ASGI door that only decodes, and the usual DRF view with bulk_create.
    python -m tests.bench.ingest_single [requests per round] [rounds]
"""

from __future__ import annotations

import sys

from tests.bench.ingest_stage import EventMaker, Stage, drive, request, row, show

_OURS = "churnguard.settings"
_BOTH = (32, 256)
CASES = {
    "raw ASGI, decode only": (
        "tests.bench.ingest_baselines:decode_only",
        2.0,
        _OURS,
        _BOTH,
    ),
    "ingest door, committed": ("churnguard.asgi:application", 1.0, _OURS, _BOTH),
    "DRF + bulk_create": (
        "tests.bench.drf_app:application",
        0.1,
        "tests.bench.drf_baseline",
        (32,),
    ),
}
"""Name -> (ASGI application, its share of the requests, settings module, numbers of
connections). At 256 Django opens more database connections than PostgreSQL takes."""


def run(requests: int = 10_000, rounds: int = 3) -> list[str]:
    """The lines of the result table."""
    stage = Stage()
    maker = EventMaker()
    rates: dict[tuple[str, int], list[float]] = {}
    tails: dict[tuple[str, int], list[float]] = {}
    try:
        for number in range(rounds + 1):
            for name, (app, share, settings, widths) in CASES.items():
                stage.empty()
                with stage.serve(app, settings=settings) as port:
                    for width in widths:
                        sent = [
                            request(event)
                            for event in maker.events(int(requests * share))
                        ]
                        drive(port, sent[: len(sent) // 10], connections=width)
                        served = drive(port, sent[len(sent) // 10 :], connections=width)
                        if number:
                            # The first round warms files and caches.
                            found = rates.setdefault((name, width), [])
                            found.append(served.requests / served.seconds)
                            tails.setdefault((name, width), []).append(
                                served.percentile(0.99)
                            )
    finally:
        stage.close()
    first = next(iter(CASES))
    return [
        f"{row(f'{name}, {width} connections', found, rates[first, width])}"
        f"  p99 {sorted(tails[name, width])[len(found) // 2]:.1f} ms"
        for (name, width), found in rates.items()
    ]


if __name__ == "__main__":
    show(*run(*(int(argument) for argument in sys.argv[1:3])))
