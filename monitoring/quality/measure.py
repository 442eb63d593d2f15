"""Runs the checks: one statement per entity answers all of its checks by source."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.db import connection

from monitoring.quality import refetch, relations, rows
from monitoring.quality.catalog import (
    CHECKS,
    ENTITIES,
    REFUSALS,
    REPEAT_CODES,
    has_rows,
    scope_of,
)
from monitoring.quality.check import Check, Result
from monitoring.quality.fresh import arrival, reference

Found = dict[tuple[int, str], list[Result]]
"""(source id, entity) -> results; only what the source has rows or refusals of."""

_REFUSED = """
SELECT source_id, record_type, count(*) FILTER (WHERE code = ANY(%(codes)s)),
    count(*) FILTER (WHERE NOT code = ANY(%(codes)s))
FROM cg_quarantine WHERE organization_id = %(org)s AND state = 'open' GROUP BY 1, 2
"""


def measure(org_id: int, now: datetime) -> tuple[Found, dict[tuple[int, str], int]]:
    """All results of an organisation now, and the rows looked at by source and entity.

    Reads living rows of every entity, and usage events of the last 30 days as they
    arrived (1,000,000 at most).
    """
    found: Found = defaultdict(list)
    looked_at: dict[tuple[int, str], int] = {}
    with connection.cursor() as cur:
        scope = scope_of(cur, org_id)
        for entity in ENTITIES:
            if entity == "event" and scope["first_batch"] is None:
                continue
            _measure_entity(cur, entity, scope, found, looked_at)
        cur.execute(_REFUSED, {"org": org_id, "codes": list(REPEAT_CODES)})
        for source_id, entity, repeated, refused in cur.fetchall():
            if entity in ENTITIES:
                _add_refused(found, looked_at, (source_id, entity), repeated, refused)
        for (source_id, _entity), results in found.items():
            for result in results:
                if result.failed and has_rows(result.code):
                    result.samples = rows.sample(cur, result.code, scope, source_id)
        late = arrival(cur, org_id, now)
        counted = reference(cur, org_id)
    compared = refetch.results(org_id, now)
    for (source_id, entity), results in found.items():
        for extra in (late.get(source_id), counted.get((source_id, entity))):
            if extra is not None:
                results.append(extra.as_result(entity))
        if (source_id, entity) in compared:
            results.append(compared[source_id, entity])
    return found, looked_at


def _measure_entity(
    cur: Any,
    entity: str,
    scope: dict[str, Any],
    found: Found,
    looked_at: dict[tuple[int, str], int],
) -> None:
    checks = [check for check in CHECKS if check.entity == entity]
    numbers = ",\n".join(_counted(check) for check in checks)
    cur.execute(
        f"SELECT t.source_id, count(*), {numbers} {relations.relation(entity)} "
        "GROUP BY t.source_id",
        scope,
    )
    for source_id, total, *counts in cur.fetchall():
        looked_at[source_id, entity] = total
        pairs = zip(checks, counts[::2], counts[1::2], strict=True)
        for check, checked, failed in pairs:
            is_absent = check.is_optional and failed == checked
            if checked and not is_absent:
                found[source_id, entity].append(_result(check, checked, failed))


def _counted(check: Check) -> str:
    if check.unique_key:
        key = f"({check.unique_key})"
        return f"count({key}), count({key}) - count(DISTINCT {key})"
    return (
        f"count(*) FILTER (WHERE {check.applies}), "
        f"count(*) FILTER (WHERE ({check.applies}) AND ({check.fails}))"
    )


def _result(check: Check, checked: int, failed: int) -> Result:
    return Result(
        code=check.code,
        entity=check.entity,
        dimension=check.dimension,
        field=check.field,
        title=check.title,
        checked=checked,
        failed=failed,
        score_pct=round(100 * (checked - failed) / checked, 2),
        weight=check.weight,
        is_critical=check.is_critical,
    )


def _add_refused(
    found: Found,
    looked_at: dict[tuple[int, str], int],
    place: tuple[int, str],
    repeated: int,
    refused: int,
) -> None:
    """What waits in quarantine counts as checked and failed beside what is stored."""
    stored = looked_at.setdefault(place, 0)
    for ending, failed in (("id.unique", repeated), ("record.refused", refused)):
        if failed:
            dimension, title = REFUSALS[ending]
            check = Check(
                code=f"{place[1]}.{ending}",
                entity=place[1],
                dimension=dimension,
                field=ending.split(".")[0],
                title=title,
            )
            found[place].append(_result(check, stored + failed, failed))
