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


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            ["--static", "x.csv", "--target", "y", "--customer", "c"],
            "--customer cannot",
        ),
        (["--static", "x.csv"], "needs --target"),
        (
            [
                "--events",
                "x.csv",
                "--customer",
                "c",
                "--time",
                "t",
                "--horizon-days",
                "0",
            ],
            "must be at least 1",
        ),
    ],
)
def test_senseless_arguments_exit_with_two(args: list[str], told: str) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match=told) as raised:
        call_command("evaluate_churn", *args, "--json", stdout=out)
    assert raised.value.returncode == 2
    assert json.loads(out.getvalue())["code"] == "bad_arguments"


def test_json_is_one_object_even_where_nothing_could_be_measured(
    tmp_path: Path,
) -> None:
    path = tmp_path / "small.csv"
    path.write_text("x,left\n1,yes\n2,no\n")
    out = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command(
            "evaluate_churn", "--static", str(path), "--target", "left", "--json",
            stdout=out,
        )  # fmt: skip
    made = json.loads(out.getvalue())

    assert raised.value.returncode == 1
    assert set(made) >= FIGURES | {"cutoffs", "dropped"}
    assert all(made[figure] is None for figure in FIGURES)
    assert made["code"] == "not_enough_outcomes"
    assert made["error"].startswith("Not enough outcomes: 1 churned and 1 stayed")


def test_a_cancellation_date_is_left_out_with_an_alarm(tmp_path: Path) -> None:
    x, y = made_up_table(180)
    lines = ["a,ended,left"] + [
        f"{row[0]:.3f},{'2024-01-02' if left else ''},{int(left)}"
        for row, left in zip(x, y, strict=True)
    ]
    path = tmp_path / "leak.csv"
    path.write_text("\n".join(lines))
    made = _evaluate("--static", str(path), "--target", "left")

    assert made["auc"] < 0.9
    assert made["dropped"] == {
        "ended": "leak: filled for one outcome and blank for the other"
    }
    alarm = "Leakage alarm: left out because they tell the outcome: ended."
    assert made["notes"][-1] == alarm


def test_rows_of_one_customer_stay_in_one_fold(tmp_path: Path) -> None:
    x, y = made_up_table(110)
    lines = ["customer_id,a,left"] + [
        f"{1000 + n},{row[0]:.3f},{int(left)}"
        for n, (row, left) in enumerate(zip(x, y, strict=True))
        for _ in range(2)
    ]
    path = tmp_path / "panel.csv"
    path.write_text("\n".join(lines))
    made = _evaluate("--static", str(path), "--target", "left", "--id", "customer_id")

    assert made["rows"] == 220
    assert all(fold["rows"] % 2 == 0 for fold in made["folds"])
    assert "110 rows repeat a customer" in " ".join(made["notes"])


def test_cutoffs_that_are_not_possible_are_said_plainly(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("\n".join([*made_up_events(150, 110), "c1,2099-01-01,5"]))
    made = _evaluate(
        "--events", str(path), "--customer", "customer", "--time", "day",
        "--horizon-days", "14",
    )  # fmt: skip

    assert 1 <= len(made["cutoffs"]) < 7
    assert made["notes"][0] == "1 rows are dated after today: left out."
    told = f"7 cutoffs were asked for; the log's 110 days allow {len(made['cutoffs'])}"
    assert made["notes"][1].startswith(told)


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


@pytest.mark.parametrize(
    ("header", "rows", "args", "told"),
    [
        ("who,t", ["a,2024-01-01", "b,2024-02-01"], ["who", "who", "30"], "different"),
        (
            "who,t",
            ["a,12:30:00", "b,13:30:00"],
            ["who", "t", "30"],
            "no readable times",
        ),
        ("who,t", ["a,2024-01-01", "b,2024-02-01"], ["who", "t", "99999999"], "spans"),
    ],
)
def test_logs_that_make_no_sense_give_a_sentence(
    tmp_path: Path, header: str, rows: list[str], args: list[str], told: str
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("\n".join([header, *rows]))
    customer, time, horizon = args
    with pytest.raises(CommandError, match=told):
        call_command(
            "evaluate_churn", "--events", str(path), "--customer", customer,
            "--time", time, "--horizon-days", horizon,
        )  # fmt: skip


def test_the_target_is_no_identifier(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,left\n1,yes\n2,no\n")
    with pytest.raises(CommandError, match="left cannot be the identifier"):
        call_command(
            "evaluate_churn", "--static", str(path), "--target", "left", "--id", "LEFT"
        )
