"""From a checked tree to one parameterised SQL statement that starts at the
organisation. Nothing a person typed enters its text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models.expressions import RawSQL

from analytics.segments.tree import Condition, Group, Negation, Node
from churnguard.models import Organization

_NAME = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Predicate:
    """sql: SELECT of customer ids with named values, each of which begins with
    “seg_”; it may stand in any statement as a subquery."""

    sql: str
    values: dict[str, Any]

    @property
    def ids(self) -> RawSQL:
        """The same for the ORM: `filter(pk__in=predicate.ids)`."""
        names = _NAME.findall(self.sql)
        values = [self.values[name] for name in names]
        return RawSQL(_NAME.sub("%s", self.sql), values)  # noqa: S611


def compile_node(node: Node, organization: Organization, now: datetime) -> Predicate:
    """The living customers of the organisation that the node holds for at `now`."""
    return _Builder(organization, now).build(node)


class _Builder:
    def __init__(self, organization: Organization, now: datetime) -> None:
        self.zone = ZoneInfo(organization.timezone)
        self.values: dict[str, Any] = {
            "seg_org": organization.pk,
            "seg_now": now,
            "seg_today": now.astimezone(self.zone).date(),
            "seg_base": organization.base_currency.upper(),
        }
        self.now = now
        self.joins: dict[str, str] = {}

    def build(self, node: Node) -> Predicate:
        where = self.node(node)
        joins = "".join(f" {join}" for join in self.joins.values())
        sql = (
            f"SELECT c.id FROM cg_customer c{joins} "
            "WHERE c.organization_id = %(seg_org)s AND c.merged_into_id IS NULL "
            f"AND {where}"
        )
        used = set(_NAME.findall(sql))
        return Predicate(sql, {k: v for k, v in self.values.items() if k in used})

    def node(self, node: Node) -> str:
        """A boolean that is never null."""
        if isinstance(node, Group):
            word = f" {node.word.upper()} "
            return f"({word.join(self.node(one) for one in node.nodes)})"
        if isinstance(node, Negation):
            return f"(NOT {self.node(node.node)})"
        if node.field.kind == "set":
            return self.of_set(node)
        if node.field.kind == "custom":
            return self.of_custom(node)
        return self.of_column(node)

    def put(self, value: Any) -> str:
        """The placeholder of a new value."""
        name = f"seg_v{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"

    def join(self, sql: str, alias: str, *, is_lateral: bool = False) -> str:
        """Join once for each alias; "" makes an alias of its own."""
        alias = f"seg_{alias or len(self.joins)}"
        if alias not in self.joins:
            lateral, on = ("LATERAL ", "true") if is_lateral else ("", "")
            on = on or f"{alias}.customer_id = c.id"
            self.joins[alias] = f"LEFT JOIN {lateral}({sql}) {alias} ON {on}"
        return alias

    def of_column(self, found: Condition) -> str:
        field = found.field
        column = field.column
        if field.join:
            sql = field.join
            if "event" in field.asks:
                name = f"seg_v{len(self.values)}"
                self.values[f"{name}_event"] = found.event
                self.values[f"{name}_days"] = found.days
                sql = sql.replace("{p}", name)
            alias = self.join(sql, field.alias, is_lateral=field.is_lateral)
            column = column.replace("{j}", alias)
        if found.sort == "time":
            return self.of_time(column, found)
        return self.compare(column, found)

    def compare(self, x: str, found: Condition) -> str:
        """Conditions on one value of the sort text or number, or on being set."""
        op, value = found.op, found.value
        if op == "is_set":
            return f"({x} IS NOT NULL)"
        if op == "is_not_set":
            return f"({x} IS NULL)"
        if found.field.is_folded:
            value = (
                tuple(one.lower() for one in value)
                if isinstance(value, tuple)
                else value.lower()
            )
        if op in ("=", "!="):
            sign, unset = ("=", "false") if op == "=" else ("<>", "true")
            return f"coalesce({x} {sign} {self.put(value)}, {unset})"
        if op in ("in", "not_in"):
            test = f"coalesce({x} = ANY({self.many(found, value)}), false)"
            return test if op == "in" else f"(NOT {test})"
        if op == "between":
            low, high = (self.put(one) for one in value)
            return f"coalesce({x} BETWEEN {low} AND {high}, false)"
        if op in ("contains", "starts_with"):
            return f"coalesce({_part(op, x, self.put(value))}, false)"
        return f"coalesce({x} {_SIGNS[op]} {self.put(value)}, false)"

    def many(self, found: Condition, values: tuple[Any, ...]) -> str:
        if found.sort == "number":
            return f"{self.put([float(one) for one in values])}::float8[]"
        return f"{self.put(list(values))}::text[]"

    def of_time(self, x: str, found: Condition) -> str:
        op, value = found.op, found.value
        if op == "before":
            return f"coalesce({x} < {self.put(self.midnight(value))}, false)"
        if op == "after":
            after = self.put(self.midnight(value + timedelta(days=1)))
            return f"coalesce({x} >= {after}, false)"
        if op == "between":
            first = self.put(self.midnight(value[0]))
            after = self.put(self.midnight(value[1] + timedelta(days=1)))
            return f"coalesce({x} >= {first} AND {x} < {after}, false)"
        edge = timedelta(days=value)
        if op == "in_last_days":
            since = self.put(self.now - edge)
            return f"coalesce({x} > {since} AND {x} <= %(seg_now)s, false)"
        until = self.put(self.now + edge)
        return f"coalesce({x} >= %(seg_now)s AND {x} < {until}, false)"

    def midnight(self, day: date) -> datetime:
        """The instant a local day begins."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def of_set(self, found: Condition) -> str:
        """Conditions on what a customer has any number of."""
        sql = found.field.join
        is_wanted = found.op in ("=", "in", "is_set")
        if found.op not in ("is_set", "is_not_set"):
            wanted = found.value if isinstance(found.value, tuple) else (found.value,)
            name = f"seg_v{len(self.values)}"
            self.values[name] = list(wanted)
            sql += found.field.test.replace("{p}", name)
        alias = self.join(sql, "")
        return f"({alias}.customer_id IS {'NOT NULL' if is_wanted else 'NULL'})"

    def of_custom(self, found: Condition) -> str:
        """Conditions on an own field; of a list, one of its items has to meet it."""
        path = self.put(list(found.path))
        value = f"(c.custom #> {path}::text[])"
        if found.op in ("is_set", "is_not_set"):
            unset = f"coalesce({value} IN {_EMPTY}, true)"
            return unset if found.op == "is_not_set" else f"(NOT {unset})"
        is_negated = found.op in ("!=", "not_in")
        test = _ITEM[found.sort](self, found)
        any_item = (
            "EXISTS (SELECT FROM jsonb_array_elements(CASE WHEN "
            f"jsonb_typeof({value}) = 'array' THEN {value} "
            f"ELSE jsonb_build_array({value}) END) i (v) "
            "CROSS JOIN LATERAL (SELECT jsonb_typeof(i.v) AS kind, "
            f"i.v #>> array[]::text[] AS text) e WHERE {test})"
        )
        return f"(NOT {any_item})" if is_negated else any_item

    def item_text(self, found: Condition) -> str:
        scalar = "e.kind IN ('string', 'number', 'boolean')"
        if found.op in ("contains", "starts_with"):
            return f"{scalar} AND {_part(found.op, 'e.text', self.put(found.value))}"
        wanted = found.value if isinstance(found.value, tuple) else (found.value,)
        return f"{scalar} AND e.text = ANY({self.put(list(wanted))}::text[])"

    def item_flag(self, found: Condition) -> str:
        wanted = self.put("true" if found.value else "false")
        return f"e.kind IN ('boolean', 'string') AND e.text = {wanted}"

    def item_number(self, found: Condition) -> str:
        op, value = found.op, found.value
        if op == "between":
            low, high = (self.put(one) for one in value)
            return f"({_AS_NUMBER}) BETWEEN {low} AND {high}"
        if op in ("=", "!=", "in", "not_in"):
            wanted = value if isinstance(value, tuple) else (value,)
            return f"({_AS_NUMBER}) = ANY({self.many(found, wanted)})"
        return f"({_AS_NUMBER}) {_SIGNS[op]} {self.put(value)}"

    def item_time(self, found: Condition) -> str:
        """Days as they are written, without a time zone."""
        today: date = self.values["seg_today"]
        first, last = "0000", "9999"
        if found.op == "between":
            first, last = (day.isoformat() for day in found.value)
        elif found.op == "before":
            last = (found.value - timedelta(days=1)).isoformat()
        elif found.op == "after":
            first = (found.value + timedelta(days=1)).isoformat()
        elif found.op == "in_last_days":
            first = (today - timedelta(days=found.value)).isoformat()
            last = today.isoformat()
        else:
            first = today.isoformat()
            last = (today + timedelta(days=found.value)).isoformat()
        low, high = self.put(first), self.put(last)
        return (
            f"e.kind = 'string' AND e.text ~ '{_DAY}' "
            f'AND left(e.text, 10) COLLATE "C" BETWEEN {low} AND {high}'
        )


_SIGNS = {"<": "<", "<=": "<=", ">": ">", ">=": ">="}

_EMPTY = "('null'::jsonb, '\"\"'::jsonb, '[]'::jsonb)"

# No braces: reports format the statement this stands in.
_DAY = "^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_AS_NUMBER = (
    "CASE WHEN length(e.text) <= 30 AND (e.kind = 'number' OR e.kind = 'string' "
    "AND e.text ~ '^-?[0-9]+([.][0-9]+)?$') THEN e.text::float8 END"
)

_ITEM: dict[str, Callable[[_Builder, Condition], str]] = {
    "text": _Builder.item_text,
    "flag": _Builder.item_flag,
    "number": _Builder.item_number,
    "time": _Builder.item_time,
}


def _part(op: str, x: str, wanted: str) -> str:
    """Whether text x holds or begins with what is wanted, without case."""
    if op == "contains":
        return f"strpos(lower({x}), lower({wanted})) > 0"
    return f"starts_with(lower({x}), lower({wanted}))"
