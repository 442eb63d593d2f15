"""Works through the independent parts of an evaluation on all cores.

Parts run in forked processes, which see the data of this one without a copy; one at a
time where a fork is not possible. What comes out is the same in either case.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_PROCESSES = 4
_task: Callable[[Any], Any] | None = None


def each(
    task: Callable[[Item], Result], items: Sequence[Item], *, most: int = MOST_PROCESSES
) -> Iterator[Result]:
    """`task` of every item, in their order, by at most `most` processes.

    What a task changes stays in its process. Where processes cannot be had, or one was
    killed, as is done for want of memory, the rest is done here, one at a time.
    """
    count = min(most, len(items), _cores())
    done = 0
    if count > 1:
        try:
            for result in _forked(task, items, count):
                yield result
                done += 1
        except (BrokenProcessPool, MemoryError, OSError, NotImplementedError):
            # One part at a time needs less memory, no process and no semaphore.
            pass
    yield from map(task, islice(items, done, None))


def _forked(
    task: Callable[[Item], Result], items: Sequence[Item], count: int
) -> Iterator[Result]:
    pool = ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_remember,
        initargs=(task,),
    )
    try:
        yield from pool.map(_do, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _remember(task: Callable[[Any], Any]) -> None:
    # A closure cannot be sent to a process, but it can be inherited.
    global _task
    _task = task


def _do(item: Any) -> Any:
    assert _task is not None
    return _task(item)


def _cores() -> int:
    """Cores this process may use; 1 where forking is unsafe or not to be had."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return 1
    return len(os.sched_getaffinity(0))
