"""Accuracy by a second reading: 50 records of each kind are read from their provider
again and compared with what is stored, field by field.

A stream of ordinary size is read until the sampled records have come by; a large one
is asked for the second in which each of them changed. Where neither finds them within
the bounds, that kind is not measured, and the reason is kept.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.apps import apps
from django.db import connection, models

from churnguard.errors import ChurnGuardError
from churnguard.records import Record
from integrations import catalog, connecting, load, mappings, quality, shaping
from integrations.connectors.base import AnyPage, Connector, ReadRequest
from integrations.load.statements import TABLES, columns_of
from integrations.models import Integration, StreamState
from monitoring.models import QualitySample
from monitoring.quality.check import Result

log = logging.getLogger(__name__)

SAMPLE = 50
EVERY = timedelta(hours=24)
KEPT = timedelta(days=7)
"""How long a comparison stands for the accuracy of a source."""
_SCANNED = 2_000
"""A stream with more rows is asked by time where it can be."""
_PAGES = 100
_AROUND = timedelta(days=1)
"""Records further from the time asked for show that the provider ignores it."""
_SECONDS = 60.0
_MISSES = 20
_TEXT = 200

_CLAIM = """
INSERT INTO mon_quality_sample (integration_id, organization_id, source_id, claimed_at,
    kinds)
SELECT i.id, i.organization_id, i.source_id, %(now)s, '{}' FROM int_integration i
WHERE i.status = 'active' AND i.source_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM mon_quality_sample q
    WHERE q.integration_id = i.id AND q.claimed_at > %(before)s)
AND EXISTS (SELECT 1 FROM int_stream_state s
            WHERE s.integration_id = i.id AND s.last_success_at IS NOT NULL)
ORDER BY i.id LIMIT 1
ON CONFLICT (integration_id) DO UPDATE SET claimed_at = excluded.claimed_at
WHERE mon_quality_sample.claimed_at <= %(before)s
RETURNING integration_id
"""


@dataclass(slots=True)
class Comparison:
    """One kind of record. compared: records read again; changed: of those, changed at
    the provider since the last sync, so not compared. fields: name -> [compared,
    different]. misses: [{external_id, field, ours, theirs}], 20 at most. why: why it
    could not be measured, else ""."""

    sampled: int = 0
    compared: int = 0
    changed: int = 0
    gone: int = 0
    fields: dict[str, list[int]] = field(default_factory=dict)
    misses: list[dict[str, str]] = field(default_factory=list)
    why: str = ""

    @property
    def checked(self) -> int:
        return sum(n for n, _bad in self.fields.values())

    @property
    def differing(self) -> int:
        return sum(bad for _n, bad in self.fields.values())


def wilson(good: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, in percent (Wilson 1927)."""
    z = 1.959964
    share = good / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return round(100 * max(0.0, low), 1), round(100 * min(1.0, high), 1)


def tick(now: datetime | None = None) -> int:
    """Loop: compare one integration that was not compared for a day; 1, or 0 when none
    is due. The mark is set first; a worker that dies costs that integration a day."""
    at = now or datetime.now(UTC)
    with connection.cursor() as cur:
        cur.execute(_CLAIM, {"now": at, "before": at - EVERY})
        claimed = cur.fetchone()
    if claimed is None:
        return 0
    compare_now(Integration.objects.get(pk=claimed[0]), at)
    return 1


def compare_now(integration: Integration, now: datetime) -> dict[str, Comparison]:
    """Read the samples again and keep what was found. No transaction is open while the
    provider answers."""
    found: dict[str, Comparison] = {}
    by_kind: dict[str, list[StreamState]] = {}
    for state in integration.streams.filter(
        is_enabled=True, is_gone=False, last_success_at__isnull=False
    ).order_by("position", "pk"):
        if state.record_type in TABLES:
            by_kind.setdefault(state.record_type, []).append(state)
    try:
        with connecting.opened(integration) as connector:
            for kind, states in by_kind.items():
                found[kind] = _compare(connector, integration, kind, states, now)
    except ChurnGuardError as exc:
        for kind in by_kind:
            found.setdefault(kind, Comparison(why=exc.message))
    QualitySample.objects.update_or_create(
        integration_id=integration.pk,
        defaults={
            "organization_id": integration.organization_id,
            "source_id": integration.source_id,
            "claimed_at": now,
            "measured_at": now,
            "kinds": {kind: asdict(one) for kind, one in found.items()},
        },
    )
    log.info("quality.compared", extra={"recordCount": len(found)})
    return found


def results(org_id: int, now: datetime) -> dict[tuple[int, str], Result]:
    """(source id, entity) -> accuracy from the comparisons of the last week."""
    out = {}
    rows = QualitySample.objects.filter(
        organization_id=org_id, measured_at__gt=now - KEPT
    )
    for row in rows.order_by("pk"):
        for kind, values in row.kinds.items():
            one = Comparison(**values)
            if one.checked:
                out[row.source_id, kind] = Result(
                    code=f"{kind}.sample",
                    entity=kind,
                    dimension="accuracy",
                    field="sample",
                    title="Differs from the provider when read again",
                    checked=one.checked,
                    failed=one.differing,
                    score_pct=round(100 * (1 - one.differing / one.checked), 2),
                    samples=list(
                        dict.fromkeys(miss["external_id"] for miss in one.misses)
                    )[:5],
                )
    return out


def _compare(
    connector: Connector,
    integration: Integration,
    kind: str,
    states: list[StreamState],
    now: datetime,
) -> Comparison:
    model = _model(TABLES[kind])
    living = model.objects.filter(
        source_id=integration.source_id, deleted_at__isnull=True
    )
    if kind == "customer":
        living = living.filter(is_stub=False)
    total = living.count()
    fields = model._meta.fields
    wanted = {
        row.external_id: {one.column: getattr(row, one.attname) for one in fields}
        for row in living.order_by("?")[:SAMPLE]
    }
    out = Comparison(sampled=len(wanted))
    if not wanted:
        out.why = "Nothing is stored."
        return out
    found, is_whole = _find(connector, integration, states, wanted, total, now)
    synced_at = max(at for one in states if (at := one.last_success_at))
    owners = _owners(wanted.values()) if kind != "customer" else {}
    for external_id, ours in wanted.items():
        theirs = found.get(external_id)
        if theirs is None:
            if is_whole:
                out.gone += 1
                _note(out, external_id, "exists", "yes", "no", is_same=False)
            continue
        if theirs.updated_at is not None and theirs.updated_at > synced_at:
            out.changed += 1
            continue
        out.compared += 1
        _note(out, external_id, "exists", "yes", "yes", is_same=True)
        for name in columns_of(kind):
            value = getattr(theirs, name)
            _note(
                out,
                external_id,
                name,
                ours[name],
                value,
                is_same=is_same(ours[name], value),
            )
        if kind != "customer":
            owner = owners.get(ours["customer_source_id"])
            named = getattr(theirs, "customer_id", None)
            _note(out, external_id, "customer", owner, named, is_same=owner == named)
    if not out.fields:
        out.why = (
            "None of them could be read again: neither by the time they changed nor "
            "within the first pages."
            if not out.changed
            else "All sampled records have changed since the last sync."
        )
    return out


def is_same(ours: Any, theirs: Any) -> bool:
    """Whether a stored value is what a record says now. None and "" are one."""
    if ours in (None, "") and theirs in (None, ""):
        return True
    if isinstance(theirs, float) and isinstance(ours, float | int):
        return math.isclose(ours, theirs, rel_tol=1e-9)
    if isinstance(theirs, dict | list):
        return bool(ours == msgspec.to_builtins(theirs))
    return bool(ours == theirs)


def _note(
    out: Comparison,
    external_id: str,
    name: str,
    ours: Any,
    theirs: Any,
    *,
    is_same: bool,
) -> None:
    counts = out.fields.setdefault(name, [0, 0])
    counts[0] += 1
    if is_same:
        return
    counts[1] += 1
    if len(out.misses) < _MISSES:
        out.misses.append(
            {
                "external_id": external_id,
                "field": name,
                "ours": _shown(ours),
                "theirs": _shown(theirs),
            }
        )


def _shown(value: Any) -> str:
    return "–" if value in (None, "") else str(value)[:_TEXT]


def _find(
    connector: Connector,
    integration: Integration,
    states: list[StreamState],
    wanted: dict[str, dict[str, Any]],
    total: int,
    now: datetime,
) -> tuple[dict[str, Record], bool]:
    """The sampled records as the provider has them, and whether every stream was read
    to its end (then what was not found is not there)."""
    found: dict[str, Record] = {}
    refused: set[str] = set()
    until = time.monotonic() + _SECONDS
    is_whole = True
    for state in states:
        pages = 0
        is_large = _is_large(state, total, wanted)
        shape = shaping.Shape(
            stream=state.name,
            record_type=state.record_type,
            filters=integration.data_filters,
            mapping=mappings.compiled(integration, state),
        )
        for page in _pages(connector, integration, state, wanted, is_large):
            shaped = shaping.shape(page, shape)
            refused |= {one.external_id for one in shaped.rejects}
            for item in shaped.items:
                if not isinstance(item, Record):
                    continue
                checked = quality.validate(item, now=now)
                if isinstance(checked, quality.Reject):
                    refused.add(load.stored_id(item))
                elif load.stored_id(checked) in wanted:
                    found[load.stored_id(checked)] = checked
            pages += 1
            if len(found) == len(wanted):
                return found, False
            most = 2 * SAMPLE if is_large else _PAGES
            if time.monotonic() > until or pages >= most:
                is_whole = False
                break
        is_whole = is_whole and not is_large
    return found, is_whole and not refused & set(wanted)


def _pages(
    connector: Connector,
    integration: Integration,
    state: StreamState,
    wanted: dict[str, dict[str, Any]],
    is_large: bool,
) -> Iterator[AnyPage]:
    stream = catalog.stream_of(state)
    size = integration.batch_size
    common = {"batch_size": size, "filters": integration.data_filters}
    if not is_large:
        yield from connector.read(stream, ReadRequest(mode="full", **common))
        return
    known = [row["source_updated_at"] for row in wanted.values()]
    moments = [at for at in known if at is not None]
    random.shuffle(moments)
    for at in moments:
        request = ReadRequest(
            mode="incremental",
            since=at,
            until=at + timedelta(seconds=1),
            incremental_field=state.incremental_field or integration.incremental_field,
            **common,
        )
        for number, page in enumerate(connector.read(stream, request)):
            yield page
            if any(_is_far(record, at) for record in page.records):
                return
            if number:
                break


def _is_large(
    state: StreamState, total: int, wanted: dict[str, dict[str, Any]]
) -> bool:
    """Whether to ask by time: only where the records say when they changed."""
    dated = sum(row["source_updated_at"] is not None for row in wanted.values())
    is_dated = bool(state.cursor_field) and 2 * dated > len(wanted)
    return is_dated and total > _SCANNED


def _is_far(record: Any, at: datetime) -> bool:
    changed_at = getattr(record, "updated_at", None)
    return changed_at is not None and abs(changed_at - at) > _AROUND


def _owners(rows: Any) -> dict[int, str]:
    """Identity -> its id in the source."""
    refs = {row["customer_source_id"] for row in rows}
    owner = apps.get_model("churnguard", "CustomerSource")
    return dict(owner.objects.filter(pk__in=refs).values_list("pk", "external_id"))


def _model(table: str) -> Any:
    (found,) = [
        model
        for model in apps.get_app_config("churnguard").get_models()
        if model._meta.db_table == table
    ]
    assert issubclass(found, models.Model)
    return found
