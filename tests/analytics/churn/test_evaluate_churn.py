"""The command: one JSON object, clear sentences for bad input, and the real targets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from tests.analytics.churn.data import made_up_events, made_up_table, shared_file

FIGURES = {
    "auc", "ap", "log_loss", "brier", "ece", "ece_floor", "top_decile_lift",
    "lift_cap",
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[3]


def _evaluate(*args: str) -> dict[str, Any]:
    out = StringIO()
    call_command("evaluate_churn", *args, "--json", stdout=out)
    return json.loads(out.getvalue())


def _static_file(folder: Path, rows: int, *, seed: int = 0) -> Path:
    x, y = made_up_table(rows, seed=seed)
    lines = ["user_id,a,b,c,left"]
    for number, (row, outcome) in enumerate(zip(x, y, strict=True)):
        c = "" if np.isnan(row[2]) else f"{row[2]:.3f}"
        outcome_word = "yes" if outcome else "no"
        lines.append(f"u{number},{row[0]:.3f},{row[1]:.3f},{c},{outcome_word}")
    path = folder / f"static_{rows}_{seed}.csv"
    path.write_text("\n".join(lines))
    return path


def test_static_json_has_every_figure_and_the_same_twice(tmp_path: Path) -> None:
    path = str(_static_file(tmp_path, 180))
    first = _evaluate("--static", path, "--target", "left", "--id", "user_id")

    assert set(first) >= FIGURES
    assert first["auc"] > 0.7
    assert first["rows"] == 180
    assert len(first["folds"]) == 5
    assert first == _evaluate("--static", path, "--target", "left", "--id", "user_id")


def test_identifier_is_found_without_help_and_a_test_file_is_used(
    tmp_path: Path,
) -> None:
    train, test = _static_file(tmp_path, 180), _static_file(tmp_path, 200, seed=1)
    made = _evaluate("--static", str(train), "--target", "LEFT", "--test", str(test))

    assert made["protocol"] == "given test file"
    assert made["rows"] == 200
    assert list(made["dropped"]) == ["user_id"]


def test_events_json_has_each_cutoff_with_its_rivals(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("\n".join(made_up_events(250, 400)))
    made = _evaluate(
        "--events", str(path), "--customer", "customer", "--time", "day",
        "--amount", "amount", "--horizon-days", "30", "--cutoffs", "2",
    )  # fmt: skip

    assert set(made) >= FIGURES
    assert len(made["cutoffs"]) == 2
    for cutoff in made["cutoffs"]:
        assert set(cutoff) >= FIGURES
        assert set(cutoff["rivals"]) == {"recency", "bgnbd", "ridge"}
        low, high = cutoff["auc_interval"]
        assert low <= cutoff["auc"] <= high
        assert max(cutoff["train_cutoffs"]) < cutoff["cutoff"]
    aucs = [cutoff["auc"] for cutoff in made["cutoffs"]]
    assert made["auc"] == pytest.approx(np.mean(aucs))


def test_the_table_for_people_names_what_was_left_out(tmp_path: Path) -> None:
    out = StringIO()
    path = str(_static_file(tmp_path, 180))
    call_command("evaluate_churn", "--static", path, "--target", "left", stdout=out)

    assert "log_loss" in out.getvalue()
    assert "user_id: identifier: nearly every row has its own value" in out.getvalue()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--static", "absent.csv", "--target", "y"], "There is no file"),
        (["--static", "absent.csv"], "needs --target"),
        (["--events", "absent.csv"], "needs --customer and --time and --horizon-days"),
        ([], "required"),
    ],
)
def test_bad_arguments_give_a_sentence(args: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        call_command("evaluate_churn", *args)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x,left\n1,yes\n2,no\n", "Not enough outcomes: 1 churned and 1 stayed"),
        ("x,left\n1,yes\n2,yes\n", "one value only"),
        ("x,y\n1,yes\n2,yes\n", "There is no column 'left'; the file has: x, y."),
    ],
)
def test_bad_files_give_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(CommandError, match=told):
        call_command("evaluate_churn", "--static", str(path), "--target", "left")


def test_it_runs_in_a_fresh_checkout_without_any_server(tmp_path: Path) -> None:
    keep = {"PATH": os.environ["PATH"], "CHURNGUARD_HOME": str(tmp_path)}
    command = [sys.executable, "manage.py", "evaluate_churn"]
    done = subprocess.run(
        [*command, "--static", "absent.csv", "--target", "y"],
        cwd=ROOT, env=keep, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stdout == ""
    assert "There is no file absent.csv." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_telco_reaches_its_target() -> None:
    path = shared_file("telco_ibm_7043.csv")
    made = _evaluate("--static", str(path), "--target", "Churn")

    assert made["auc"] >= 0.847
    assert made["log_loss"] <= 0.414
    assert list(made["dropped"]) == ["customerID"]


@pytest.mark.slow
def test_online_retail_reaches_its_target() -> None:
    path = shared_file("online_retail_orders.csv.gz")
    made = _evaluate(
        "--events", str(path), "--customer", "customer_id", "--time", "ts",
        "--amount", "amount", "--horizon-days", "90",
    )  # fmt: skip

    assert len(made["cutoffs"]) == 7
    assert made["auc"] >= 0.79
    assert made["ece"] <= 0.06
