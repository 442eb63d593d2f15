"""Several calls at once with the results in order (`concurrent_requests`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ordered_map(
    work: Callable[[A], B], items: Iterable[A], *, workers: int
) -> Iterator[B]:
    """work(item) for each item, in the order of the items.

    At most `workers` run at once and twice as many results wait, so memory stays flat
    over any number of items. The first error is raised in its place; work that has
    not begun is dropped then. workers 1 uses no thread.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="door")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
