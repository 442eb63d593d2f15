"""Bounds the threads of OpenMP and BLAS: two pools on few cores wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

THREADS = 1
"""With two, a fit beside another busy process was measured 20 times slower."""


@contextmanager
def limited_threads(threads: int = THREADS) -> Iterator[None]:
    """Inside, numeric libraries use at most `threads` threads each."""
    with threadpool_limits(limits=threads):
        yield
