"""Measures the shipped churn model on any file, without a database."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from analytics.churn import backtest, report, static
from analytics.churn.eventfile import read_events
from analytics.churn.table import read_table
from churnguard.errors import ConfigError


class Command(BaseCommand):
    help = (
        "Evaluate the shipped churn model on a table (--static) or an event log "
        "(--events); prints a table, or one JSON object with --json."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        data = parser.add_mutually_exclusive_group(required=True)
        data.add_argument("--static", metavar="FILE", help="one row per customer")
        data.add_argument("--events", metavar="FILE", help="one row per event")
        parser.add_argument("--target", metavar="COLUMN", help="the outcome column")
        parser.add_argument("--positive", metavar="VALUE", help="what means churned")
        parser.add_argument("--id", metavar="COLUMN", help="a column to leave out")
        parser.add_argument("--test", metavar="FILE", help="test rows; else 5 folds")
        parser.add_argument("--customer", metavar="COLUMN", help="who")
        parser.add_argument("--time", metavar="COLUMN", help="when")
        parser.add_argument("--amount", metavar="COLUMN", help="money, if any")
        parser.add_argument("--horizon-days", type=int, metavar="N")
        parser.add_argument("--cutoffs", type=int, default=7, metavar="K")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--json", action="store_true", dest="as_json")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            evaluate = _evaluate_static if options["static"] else _evaluate_events
            result = evaluate(options)
        except ConfigError as exc:
            raise CommandError(exc.message) from exc
        if options["as_json"]:
            self.stdout.write(json.dumps(result))
        else:
            self.stdout.write("\n".join(report.table_lines(result)))


def _evaluate_static(options: dict[str, Any]) -> dict[str, Any]:
    if not options["target"]:
        raise ConfigError("--static needs --target, the column with the outcome.")
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
    needed = ("customer", "time", "horizon_days")
    missing = [f"--{name.replace('_', '-')}" for name in needed if not options[name]]
    if missing:
        raise ConfigError(f"--events needs {' and '.join(missing)}.")
    file = read_events(
        options["events"],
        customer=options["customer"],
        time=options["time"],
        amount=options["amount"],
    )
    results = backtest.run(
        file.log,
        horizon=options["horizon_days"],
        cutoffs=options["cutoffs"],
        seed=options["seed"],
    )
    return report.events_as_dict(
        results,
        horizon=options["horizon_days"],
        dropped=file.dropped,
        notes=file.notes,
    )
