"""Whether a health definition makes sense, said per field in plain sentences.

Fields are paths: "components.usage", "metrics.past_due.anchors", "bands.watch".
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from analytics.definition import (
    COMPONENTS,
    DEFAULT_SPEC,
    METRIC_BY_NAME,
    METRICS,
    completed,
)
from churnguard.errors import ConfigError

HEAVIEST = 1000
LIGHTEST = 0.001
"""A weight is 0 or at least this: shares of a vanishing sum would overflow."""
FARTHEST = 1_000_000
MOST_DAYS = 3650
LEAST_HALF_LIFE = 0.5
MOST_HYSTERESIS = 10

_WEIGHT = f"Give a number from 0 to {HEAVIEST}."
_NO_SETTING = "There is no such setting."


def check_spec(given: Any) -> dict[str, Any]:
    """The definition, complete and checked. Raises ConfigError with every fault.

    Weights are shares of their sum, so any sum will do. A part that is left out is
    the default's; of components that are given, one left out weighs 0.
    """
    faults: dict[str, str] = {}
    if not isinstance(given, dict):
        raise _refused({"": "Give an object with components, metrics, caps, bands."})
    for name in given.keys() - DEFAULT_SPEC.keys():
        faults[str(name)] = _NO_SETTING
    metrics = _metrics(_part(given, "metrics", faults), faults)
    out = {
        "components": _components(_part(given, "components", faults), metrics, faults),
        "metrics": metrics,
        "caps": _caps(_part(given, "caps", faults), faults),
        "bands": _bands(_part(given, "bands", faults), faults),
    }
    if faults:
        raise _refused(faults)
    return out


def flat(spec: dict[str, Any]) -> dict[str, Any]:
    """The definition as path -> value, for the audit log and for comparing."""
    out: dict[str, Any] = {}
    for part in ("components", "caps", "bands"):
        for name, value in spec[part].items():
            out[f"{part}.{name}"] = value
    for name, settings in spec["metrics"].items():
        for key, value in settings.items():
            out[f"metrics.{name}.{key}"] = value
    return out


def differences(
    before: dict[str, Any], after: dict[str, Any]
) -> list[tuple[str, Any, Any]]:
    """(path, value before, value after) of each setting that differs."""
    old, new = flat(completed(before)), flat(completed(after))
    return [
        (path, old.get(path), new.get(path))
        for path in [*new, *(old.keys() - new.keys())]
        if old.get(path) != new.get(path)
    ]


def digest(*parts: Any) -> int:
    """64 bits of JSON-safe parts, equal for equal content whatever its order."""
    encoded = msgspec.json.encode(parts, order="sorted")
    found = hashlib.blake2b(encoded, digest_size=8).digest()
    return int.from_bytes(found, "big", signed=True)


def _refused(faults: dict[str, str]) -> ConfigError:
    count = len(faults)
    what = "One setting is" if count == 1 else f"{count} settings are"
    return ConfigError(
        f"This health definition cannot be used: {what} not valid.",
        code="invalid_definition",
        fields=faults,
    )


def _part(
    given: dict[str, Any], name: str, faults: dict[str, str]
) -> dict[str, Any] | None:
    part = given.get(name)
    if part is None:
        return None
    if not isinstance(part, dict):
        faults[name] = "Give an object."
        return None
    known = METRIC_BY_NAME if name == "metrics" else DEFAULT_SPEC[name]
    for key in part:
        if key not in known:
            faults[f"{name}.{key}"] = f"There is no such {_ONE[name]}."
    return part


_ONE = {
    "components": "component",
    "metrics": "metric",
    "caps": "cap",
    "bands": "setting of the bands",
}


def _components(
    part: dict[str, Any] | None, metrics: dict[str, Any], faults: dict[str, str]
) -> dict[str, Any]:
    out = dict(DEFAULT_SPEC["components"])
    if part is not None:
        out = {name: part.get(name, 0) for name in COMPONENTS}
    for name, weight in out.items():
        if not _is_weight(weight):
            faults[f"components.{name}"] = _WEIGHT
    if any(path.startswith(("components.", "metrics.")) for path in faults):
        return out
    if not any(out.values()):
        faults["components"] = "Give at least one component a weight above 0."
    for name, weight in out.items():
        own = [metrics[m.name] for m in METRICS if m.component == name]
        if weight and not any(m["enabled"] and m["weight"] for m in own):
            faults[f"components.{name}"] = (
                "All its metrics are off or weigh 0: turn one on, or give this 0."
            )
    return out


def _metrics(part: dict[str, Any] | None, faults: dict[str, str]) -> dict[str, Any]:
    out = {}
    for metric in METRICS:
        default = DEFAULT_SPEC["metrics"][metric.name]
        given = (part or {}).get(metric.name, {})
        path = f"metrics.{metric.name}"
        if not isinstance(given, dict):
            faults[path] = "Give an object."
            given = {}
        for key in given.keys() - default.keys():
            faults[f"{path}.{key}"] = _NO_SETTING
        merged = {key: given.get(key, value) for key, value in default.items()}
        _metric(path, merged, default["anchors"], faults)
        if isinstance(merged["anchors"], list):
            merged["anchors"] = list(merged["anchors"])
        out[metric.name] = merged
    return out


def _metric(
    path: str, given: dict[str, Any], usual: list[float], faults: dict[str, str]
) -> None:
    if not isinstance(given["enabled"], bool):
        faults[f"{path}.enabled"] = "Give true or false."
    if not _is_weight(given["weight"]):
        faults[f"{path}.weight"] = _WEIGHT
    problem = _anchor_problem(given["anchors"], usual)
    if problem:
        faults[f"{path}.anchors"] = problem
    for key, least in (("grace_days", 0), ("half_life_days", LEAST_HALF_LIFE)):
        if not _is_number(given[key], least, MOST_DAYS):
            faults[f"{path}.{key}"] = f"Give days from {least:g} to {MOST_DAYS}."


def _anchor_problem(anchors: Any, usual: list[float]) -> str:
    if (
        not isinstance(anchors, list)
        or len(anchors) != 3
        or not all(_is_number(item, -FARTHEST, FARTHEST) for item in anchors)
    ):
        return (
            "Give three numbers: where the metric scores 0, 60 and 100 "
            f"({-FARTHEST} to {FARTHEST})."
        )
    bad, okay, good = anchors
    if usual[0] < usual[2] and not bad < okay < good:
        return "These must rise from bad to good, since more is better here."
    if usual[0] > usual[2] and not bad > okay > good:
        return "These must fall from bad to good, since less is better here."
    return ""


def _caps(part: dict[str, Any] | None, faults: dict[str, str]) -> dict[str, Any]:
    out = {**DEFAULT_SPEC["caps"], **_known(part, "caps")}
    for name, value in out.items():
        if value is not None and not _is_number(value, 0, 100):
            faults[f"caps.{name}"] = "Give a number from 0 to 100, or none for no cap."
    return out


def _bands(part: dict[str, Any] | None, faults: dict[str, str]) -> dict[str, Any]:
    out = {**DEFAULT_SPEC["bands"], **_known(part, "bands")}
    most = {"hysteresis": MOST_HYSTERESIS}
    wrong = {
        f"bands.{name}": f"Give a number from 0 to {most.get(name, 100)}."
        for name, value in out.items()
        if not _is_number(value, 0, most.get(name, 100))
    }
    faults.update(wrong)
    if wrong:
        return out
    healthy, watch, gap = out["healthy"], out["watch"], out["hysteresis"]
    if watch >= healthy:
        faults["bands.watch"] = (
            f"Watch begins at {watch:g}; it must begin below healthy ({healthy:g})."
        )
    elif watch + gap >= healthy - gap:
        faults["bands.hysteresis"] = (
            f"With {gap:g} points around both borders nothing is left of watch "
            f"({watch:g} to {healthy:g})."
        )
    if healthy + gap > 100:
        faults["bands.healthy"] = (
            f"Nobody could become healthy: that would need {healthy + gap:g} points."
        )
    if watch - gap <= 0:
        faults["bands.watch"] = (
            f"Nobody could become at risk: that would need below {watch - gap:g}."
        )
    return out


def _known(part: dict[str, Any] | None, name: str) -> dict[str, Any]:
    return {key: (part or {})[key] for key in DEFAULT_SPEC[name] if key in (part or {})}


def _is_weight(value: Any) -> bool:
    return _is_number(value, 0, HEAVIEST) and (value == 0 or value >= LIGHTEST)


def _is_number(value: Any, least: float, most: float) -> bool:
    """Comparing also refuses NaN, infinities and integers beyond a float."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and least <= value <= most
