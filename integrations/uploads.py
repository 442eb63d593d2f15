"""Uploaded files: kept under MEDIA_ROOT, looked into before the first run."""

from __future__ import annotations

import codecs
import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpRequest

from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Organization
from integrations.models import Integration, Upload
from integrations.tabular import packing, reading
from integrations.tabular.layout import SAMPLE_ROWS, Layout, guess_mapping, with_link

MOST_BYTES = 5 * 2**30
_LOOKED_AT = 8192
_MAY_HOLD_ZEROS = (
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
    packing.GZIP,
    packing.ZSTD,
)
_ARCHIVES = (b"PK\3\4", b"%PDF")
_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]+")


def keep(
    organization: Organization,
    file: UploadedFile,
    *,
    by: HttpRequest | str,
    integration: Integration | None = None,
) -> Upload:
    """Store one uploaded file. Raises ConfigError for a kind we do not read, an empty
    one and one that is too large."""
    name = _safe_name(file.name or "")
    size = file.size or 0
    if not reading.is_table(name):
        raise ConfigError(
            f"“{name}” is no CSV, NDJSON or JSON file (plain, .gz or .zst). Save a "
            "spreadsheet as CSV first.",
            code="unsupported_file",
            fields={"file": "not a table"},
        )
    if not 0 < size <= MOST_BYTES:
        raise ConfigError(
            f"“{name}” is empty." if not size else f"“{name}” is larger than 5 GiB.",
            code="bad_file_size",
            fields={"file": "size"},
        )
    actor = by if isinstance(by, str) else audit.actor_of(by)
    digest = hashlib.sha256()
    upload = Upload(
        organization=organization,
        integration=integration,
        name=name,
        size_bytes=size,
        created_by=actor,
    )
    upload.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with upload.path.open("wb") as target:
            for piece in file.chunks():
                digest.update(piece)
                target.write(piece)
        _refuse_binary(upload.path, name)
        upload.sha256 = digest.hexdigest()
        with transaction.atomic():
            upload.save()
            audit.record(
                by,
                "upload.created",
                organization=organization,
                target_type="upload",
                target_id=upload.public_id,
                after={"name": name, "size_bytes": size},
            )
    except BaseException:
        shutil.rmtree(upload.path.parent, ignore_errors=True)
        raise
    return upload


def remove(upload: Upload, *, by: HttpRequest | str) -> None:
    """Delete a file; what was read from it stays."""
    folder = upload.path.parent
    with transaction.atomic():
        audit.record(
            by,
            "upload.deleted",
            organization=upload.organization,
            target_type="upload",
            target_id=upload.public_id,
            before={"name": upload.name},
        )
        upload.delete()
    shutil.rmtree(folder, ignore_errors=True)


def preview(uploads: Iterable[Upload], *, rows: int = 20) -> list[dict[str, Any]]:
    """What each file seems to hold, for a person to confirm: [{upload_id, name,
    stream, layout, rows, broken}].

    layout: record type, id and customer column, and per column its kind, the field it
    fills and samples. Raises ConfigError for a file that cannot be read.
    """
    files = list(uploads)
    layouts: dict[str, Layout] = {}
    samples: dict[str, list[reading.Row]] = {}
    for upload in files:
        stream = reading.stem_of(upload.name)
        samples[stream] = _sample(upload.path)
        layouts[stream] = _guess(stream, samples[stream])
    shown = []
    for upload in files:
        stream = reading.stem_of(upload.name)
        layout = with_link(layouts[stream], layouts)
        shown.append(
            {
                "upload_id": upload.public_id,
                "name": upload.name,
                "stream": stream,
                "layout": msgspec.to_builtins(layout),
                "rows": [row.values for row in samples[stream][:rows]],
                "broken": [
                    {"line": row.line, "detail": row.error}
                    for row in samples[stream]
                    if row.error
                ][:20],
            }
        )
    return shown


def _refuse_binary(path: Path, name: str) -> None:
    """Raises ConfigError for a file that is no text, such as a renamed spreadsheet."""
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    is_text = b"\0" not in head or head.startswith(_MAY_HOLD_ZEROS)
    if not is_text or head.startswith(_ARCHIVES):
        raise ConfigError(
            f"“{name}” is no text, whatever its name says. Export it as CSV, NDJSON or "
            "JSON.",
            code="unsupported_file",
            fields={"file": "not text"},
        )


def _sample(path: Path) -> list[reading.Row]:
    found: list[reading.Row] = []
    for row in reading.rows(path):
        found.append(row)
        if len(found) >= SAMPLE_ROWS:
            break
    return found


def _guess(stream: str, sample: list[reading.Row]) -> Layout:
    headers: dict[str, None] = {}
    good = [row.values for row in sample if not row.error]
    for values in good:
        headers.update(dict.fromkeys(values))
    return guess_mapping(list(headers), good, name=stream)


def _safe_name(name: str) -> str:
    """The last part of the name, with nothing a file system could misread."""
    last = re.split(r"[\\/]", name)[-1]
    return _UNSAFE.sub("_", last).strip(". ")[:200] or "file"
