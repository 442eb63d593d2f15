"""Parts beside each other give what parts after each other give."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from analytics.churn import forks
from churnguard.errors import ConfigError

HERE = os.getpid()


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def test_results_come_in_the_order_of_the_items_from_other_processes() -> None:
    offset = 10
    made = list(forks.each(lambda item: (item + offset, os.getpid()), [3, 1, 2]))

    assert [number for number, _ in made] == [13, 11, 12]
    assert HERE not in {process for _, process in made}


def test_one_core_forks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})

    assert list(forks.each(lambda _: os.getpid(), [1, 2])) == [HERE, HERE]


def test_a_killed_process_costs_no_result() -> None:
    def task(item: int) -> int:
        if item == 2 and os.getpid() != HERE:
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item

    assert list(forks.each(task, [1, 2, 3])) == [1, 4, 9]


def test_too_little_memory_beside_each_other_is_enough_after_each_other() -> None:
    def task(item: int) -> int:
        if os.getpid() != HERE:
            raise MemoryError
        return item

    assert list(forks.each(task, [1, 2, 3])) == [1, 2, 3]


def test_a_machine_without_semaphores_does_without_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(method: str) -> None:
        raise PermissionError(method)

    monkeypatch.setattr(multiprocessing, "get_context", refuse)

    assert list(forks.each(lambda _: os.getpid(), [1, 2])) == [HERE, HERE]


def test_an_error_of_a_part_keeps_its_sentence_and_code() -> None:
    def task(item: int) -> int:
        raise ConfigError(f"Part {item} is too small.", code="not_enough_outcomes")

    with pytest.raises(ConfigError, match="Part 7 is too small") as raised:
        list(forks.each(task, [7, 8]))
    assert raised.value.code == "not_enough_outcomes"
