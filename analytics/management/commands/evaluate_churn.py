"""Measures the shipped churn model on any file, without a database."""

from __future__ import annotations

import json
import logging
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError

from analytics.churn import backtest, report, static
from analytics.churn.eventfile import read_events
from analytics.churn.table import read_table
from churnguard.errors import ConfigError

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Evaluate the shipped churn model on a table (--static) or an event log "
        "(--events); prints a table, or one JSON object with --json. Exit code 1: the "
        "data cannot be evaluated, and why; 2: the arguments are wrong."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        data = parser.add_mutually_exclusive_group(required=True)
        data.add_argument("--static", metavar="FILE", help="one row per customer")
        data.add_argument("--events", metavar="FILE", help="one row per event")
        parser.add_argument("--target", metavar="COLUMN", help="the outcome column")
        parser.add_argument(
            "--positive",
            metavar="VALUE",
            help="the target's value that means churned; every other value is stayed",
        )
        parser.add_argument(
            "--id", metavar="COLUMN", help="names the customer: no feature"
        )
        parser.add_argument("--test", metavar="FILE", help="test rows; else 5 folds")
        parser.add_argument("--customer", metavar="COLUMN", help="who")
        parser.add_argument("--time", metavar="COLUMN", help="when")
        parser.add_argument("--amount", metavar="COLUMN", help="money, if any")
        parser.add_argument("--horizon-days", type=int, metavar="N")
        parser.add_argument("--cutoffs", type=int, default=7, metavar="K")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--json", action="store_true", dest="as_json")

    def handle(self, *args: Any, **options: Any) -> None:
        if told := _wrong_arguments(options):
            self._refuse(told, "bad_arguments", options, returncode=2)
        try:
            evaluate = _evaluate_static if options["static"] else _evaluate_events
            result = evaluate(options)
        except ConfigError as exc:
            self._refuse(exc.message, exc.code, options, cause=exc)
        except MemoryError as exc:
            told = "There is not enough memory for this file; use a sample of its rows."
            self._refuse(told, "out_of_memory", options, cause=exc)
        except Exception as exc:
            # The outermost edge: a person with an odd file gets a sentence; the trace
            # goes to the log for whoever mends it.
            log.debug("evaluate_churn.failed", exc_info=True)
            told = f"This file broke the evaluation, a fault of ours: {exc!r}."
            self._refuse(told, "internal_error", options, cause=exc)
        if options["as_json"]:
            self.stdout.write(json.dumps(result, allow_nan=False))
            return
        self.stdout.write("\n".join(report.table_lines(result)))

    def _refuse(
        self,
        message: str,
        code: str,
        options: dict[str, Any],
        *,
        cause: Exception | None = None,
        returncode: int = 1,
    ) -> NoReturn:
        if options["as_json"]:
            self.stdout.write(json.dumps(report.failure(message, code)))
        raise CommandError(message, returncode=returncode) from cause


def _wrong_arguments(options: dict[str, Any]) -> str:
    """What makes no sense about the arguments; "" where they are sound."""
    if options["static"]:
        kind, needed = "--static", ["target"]
        foreign = ("customer", "time", "amount", "horizon_days")
    else:
        kind, needed = "--events", ["customer", "time", "horizon_days"]
        foreign = ("target", "positive", "id", "test")
    if missing := [_flag(name) for name in needed if options[name] is None]:
        return f"{kind} needs {' and '.join(missing)}."
    if extra := [_flag(name) for name in foreign if options[name] is not None]:
        return f"{' and '.join(extra)} cannot be used with {kind}."
    if options["events"] and min(options["horizon_days"], options["cutoffs"]) < 1:
        return "--horizon-days and --cutoffs must be at least 1."
    return ""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _evaluate_static(options: dict[str, Any]) -> dict[str, Any]:
    table = read_table(options["static"])
    known = {
        "target": options["target"],
        "positive": options["positive"],
        "identifier": options["id"],
        "seed": options["seed"],
    }
    if options["test"]:
        result = static.evaluate_split(table, read_table(options["test"]), **known)
    else:
        result = static.evaluate_cross_validated(table, **known)
    return report.static_as_dict(result)


def _evaluate_events(options: dict[str, Any]) -> dict[str, Any]:
    file = read_events(
        options["events"],
        customer=options["customer"],
        time=options["time"],
        amount=options["amount"],
    )
    tested = backtest.run(
        file.log,
        horizon=options["horizon_days"],
        cutoffs=options["cutoffs"],
        seed=options["seed"],
    )
    return report.events_as_dict(
        tested.results,
        horizon=options["horizon_days"],
        dropped=file.dropped,
        notes=file.notes + tested.notes,
    )
