"""Which files a file integration reads, and that it reads no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churnguard.errors import ConfigError
from integrations.tabular import reading

MOST_FILES = 200


@dataclass(frozen=True, slots=True)
class Table:
    """One file as a stream."""

    stream: str
    path: Path


def list_tables(settings: Mapping[str, Any]) -> list[Table]:
    """Uploads (the newest of a name) and the folder's files, one per stem.

    settings: uploads [{name, path}], path, pattern, roots (folders that may be read),
    _trusted_root (one more, set by the operator's own code). Raises ConfigError.
    """
    paths = {
        upload["name"]: Path(upload["path"]) for upload in settings.get("uploads") or []
    }
    for path in _folder_files(settings):
        paths.setdefault(path.name, path)
    found: dict[str, Table] = {}
    for name, path in sorted(paths.items()):
        stem = reading.stem_of(name)
        stream = (stem if stem not in found else name)[:120]
        found[stream] = Table(stream, path)
    return list(found.values())


def _folder_files(settings: Mapping[str, Any]) -> list[Path]:
    given = str(settings.get("path") or "")
    if not given:
        return []
    folder = Path(given).resolve()
    trusted = settings.get("_trusted_root")
    allowed = [*(settings.get("roots") or []), *([trusted] if trusted else [])]
    roots = [Path(root).resolve() for root in allowed]
    if not any(folder.is_relative_to(root) for root in roots):
        raise ConfigError(
            f"{given} is not under a folder this server may read (FILE_SOURCE_ROOTS).",
            code="path_not_allowed",
            fields={"path": "not allowed"},
        )
    if not folder.is_dir():
        raise ConfigError(
            f"{given} is no folder.",
            code="no_such_folder",
            fields={"path": "no such folder"},
        )
    pattern = str(settings.get("pattern") or "*")
    if "/" in pattern or "\\" in pattern:
        raise ConfigError(
            "File names must not contain a slash.",
            code="invalid_pattern",
            fields={"pattern": "no slash"},
        )
    files = [
        path
        for path in sorted(folder.glob(pattern))
        if path.is_file()
        and reading.is_table(path.name)
        # A link must not lead out of the folders that are allowed.
        and any(path.resolve().is_relative_to(root) for root in roots)
    ]
    if len(files) > MOST_FILES:
        raise ConfigError(
            f"{given} holds {len(files)} files that match; at most {MOST_FILES} can be "
            "one integration. Narrow the file names.",
            code="too_many_files",
            fields={"pattern": "too many files"},
        )
    return files
