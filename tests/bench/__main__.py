"""All measurements, each in a process of its own: `make bench`.

    python -m tests.bench [--quick] [name ..]

Every figure stands beside a baseline taken in the same run; on a busy machine read the
ratios, not the absolute figures.
"""

from __future__ import annotations

import subprocess
import sys
import time

BENCHES: dict[str, tuple[list[str], list[str]]] = {
    "ingest_single": (["10000", "3"], ["1000", "1"]),
    "ingest_batch": (["60000", "3"], ["10000", "1"]),
    "write_path": (["40000", "3"], ["10000", "1"]),
    "sync_sources": (["100000", "3", "1000000", "1"], ["5000", "1"]),
    "sync_file": (["1000000", "1"], ["5000", "1"]),
    "event_to_socket": (["200"], ["10", "0", "2000"]),
    "trend": (["10000000"], ["100000"]),
    "health": (["100000"], ["5000"]),
    "fold": (["1000000", "20000"], ["50000", "2000"]),
    "lists": (["100000", "40"], ["5000", "3"]),
    "reports": (["10000000", "20000", "5"], ["100000", "1000", "1"]),
    "churn_company": (["250000", "100000"], ["2000", "2000"]),
    "segments": (["100000"], ["5000"]),
    "fanout": (["1000", "8", "5"], ["200", "4", "1"]),
    "churn_speed": (
        ["--customers", "100000", "--score-rows", "1000000"],
        ["--customers", "5000", "--score-rows", "50000"],
    ),
}
"""Name -> arguments of the full run and of the quick one."""


def main(arguments: list[str]) -> int:
    """Run the named benches, or all; 1 when one of them failed."""
    is_quick = "--quick" in arguments
    names = [name for name in arguments if not name.startswith("-")] or list(BENCHES)
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        sys.stderr.write(f"No bench {', '.join(unknown)}; there are {list(BENCHES)}.\n")
        return 2
    failed = []
    for name in names:
        sizes = BENCHES[name][is_quick]
        sys.stdout.write(f"\n== {name} {' '.join(sizes)}\n")
        sys.stdout.flush()
        started = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", f"tests.bench.{name}", *sizes], check=False
        )
        sys.stdout.write(f"   {time.monotonic() - started:.0f} s\n")
        if ended.returncode:
            failed.append(name)
    if failed:
        sys.stdout.write(f"\nFailed: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
