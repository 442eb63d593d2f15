"""Rules about the code itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from integrations import connectors
from tests import fakes

CHECKOUT = Path(__file__).resolve().parents[1]
PRODUCT = ("churnguard", "integrations", "analytics", "monitoring")
LONGEST_FILE = 400
VAGUE_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}
# Spelled apart, so that this file does not hold what it looks for.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MAY_BE_ABSTRACT = {"integrations/connectors/base.py"}


def product_files() -> Iterator[Path]:
    """Our Python files, migrations left out."""
    for package in PRODUCT:
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def name_of(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def test_imports_run_one_way() -> None:
    # In a process of its own, since it takes the voice of every logger of this one.
    lint = (
        "from importlinter.cli import lint_imports; exit(lint_imports(no_cache=True))"
    )

    done = subprocess.run(
        [sys.executable, "-c", lint],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.django_db
def test_no_migration_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        call_command("makemigrations", "--check", "--dry-run")
    except SystemExit:
        pytest.fail(capsys.readouterr().out)


def test_no_file_is_longer_than_a_reader_bears() -> None:
    lengths = {name_of(p): len(p.read_text().splitlines()) for p in product_files()}

    assert {n: count for n, count in lengths.items() if count > LONGEST_FILE} == {}


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [name_of(p) for p in product_files() if p.name in VAGUE_NAMES] == []


def test_nothing_is_left_unfinished() -> None:
    marks = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in product_files()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if UNFINISHED.search(line)
    ]

    assert marks == []


def test_no_function_is_an_empty_shell() -> None:
    shells = [
        f"{name_of(path)}:{function.lineno}: {function.name}"
        for path in product_files()
        if name_of(path) not in MAY_BE_ABSTRACT
        for function in _concrete_functions(ast.parse(path.read_text()))
        if _is_empty(function)
    ]

    assert shells == []


def test_each_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in (CHECKOUT / "tests").rglob("*.py")}

    assert [
        name_of(f) for f in sorted(folders) if not (f / "__init__.py").exists()
    ] == []


@pytest.mark.parametrize("name", ["base.txt", "dev.txt", "prod.txt"])
def test_each_requirement_is_pinned_explained_and_the_tested_version(name: str) -> None:
    folder = CHECKOUT / "requirements"
    tested = set((folder / "constraints.txt").read_text().lower().splitlines())
    lines = [
        line
        for line in (folder / name).read_text().splitlines()
        if line and not line.startswith(("#", "-"))
    ]

    for line in lines:
        requirement, _, reason = line.partition("#")
        assert reason.strip(), f"{line}: no reason"
        plain = re.sub(r"\[.*\]", "", requirement).strip().lower()
        assert plain in tested, f"{plain} is not in constraints.txt"


def _concrete_functions(
    tree: ast.Module,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions that must have a body: not of protocols, overloads or abstract ones."""
    excused: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and "Protocol" in map(_last_name, node.bases):
            excused.update(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = {_last_name(one) for one in node.decorator_list}
            if node not in excused and not marks & {"overload", "abstractmethod"}:
                yield node


def _is_empty(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Nothing but `pass`, `...` or NotImplementedError; a docstring may explain."""
    body = function.body
    if ast.get_docstring(function) is not None:
        # A documented function that does nothing is a decision, e.g. a receiver that
        # only has to exist.
        body = body[1:] or [ast.Return()]
    return all(_does_nothing(statement) for statement in body)


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        return _last_name(statement.exc) == "NotImplementedError"
    is_dots = (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and statement.value.value is ...
    )
    return is_dots or isinstance(statement, ast.Pass)


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return getattr(node, "attr", getattr(node, "id", ""))


def test_each_connector_has_its_page_its_fake_and_its_payloads() -> None:
    # A file and a table have no wire format to capture.
    without_payloads = {"file", "mysql", "postgresql"}

    for name in connectors.REGISTRY:
        assert (CHECKOUT / "docs" / "connectors" / f"{name}.md").is_file(), name
        assert name in fakes.FAKES or name == "file"
        folder = CHECKOUT / "tests" / "payloads" / name
        assert name in without_payloads or any(folder.glob("*.json*")), name
