"""Making, changing and archiving segments, each with its entry in the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import slugify

from analytics.segments import daily
from analytics.segments.models import Segment
from analytics.segments.tree import parse
from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Organization

RESERVED = {
    *("all", "at_risk", "high_risk", "healthy", "watch", "unknown"),
    *("customer", "fields", "new", "preview"),
}
"""What built-in segments and addresses are called."""
MOST_SEGMENTS = 200
_LONGEST = {"name": 120, "description": 2000}


def create(
    request: HttpRequest, organization: Organization, given: dict[str, Any]
) -> Segment:
    """Save a new segment (name, description, definition) and count it at once.

    Raises ConfigError that names each bad field: a name that is taken or built in, a
    definition that does not hold, too many segments.
    """
    name, description = _checked(given)
    with transaction.atomic():
        # One at a time, so that the slug and the number of segments hold.
        Organization.objects.select_for_update().get(pk=organization.pk)
        live = Segment.objects.filter(
            organization=organization, archived_at__isnull=True
        )
        if live.count() >= MOST_SEGMENTS:
            raise ConfigError(
                f"There are {MOST_SEGMENTS} segments already. Delete one first.",
                code="too_many_segments",
                fields={"name": f"at most {MOST_SEGMENTS} segments"},
            )
        segment = Segment(
            organization=organization,
            name=name,
            description=description,
            definition=given["definition"],
            created_by=audit.actor_of(request)[:254],
        )
        segment.slug = _free_slug(segment, set(live.values_list("slug", flat=True)))
        _save(segment)
        _record(request, "segment.created", segment, None)
        daily.count_now(segment, organization, timezone.now())
    return segment


def change(
    request: HttpRequest, segment: Segment, given: dict[str, Any], now: datetime
) -> Segment:
    """Change what is given of name, description, definition and is_archived. A new
    definition is a new version and is counted at once. Raises ConfigError."""
    with transaction.atomic():
        locked = Segment.objects.select_for_update(of=("self",)).select_related(
            "organization"
        )
        found = locked.get(pk=segment.pk)
        before = facts_of(found)
        if "name" in given:
            found.name = read_name(given["name"])
        if "description" in given:
            found.description = _description(given)
        is_new = False
        if "definition" in given:
            parse(given["definition"])
            is_new = given["definition"] != found.definition
            found.definition = given["definition"]
            found.version += is_new
        if "is_archived" in given:
            if not isinstance(given["is_archived"], bool):
                raise _invalid({"is_archived": "true or false"})
            was = found.archived_at
            found.archived_at = (was or now) if given["is_archived"] else None
        if facts_of(found) == before:
            return found
        _save(found)
        action = "segment.changed"
        if found.archived_at is not None and not before["is_archived"]:
            action = "segment.archived"
        _record(request, action, found, before)
        if found.archived_at is None and (is_new or before["is_archived"]):
            daily.count_now(found, found.organization, now, is_new=is_new)
    return found


def archive(request: HttpRequest, segment: Segment, now: datetime) -> None:
    """Take a segment out of lists and filters; its history stays. Idempotent."""
    change(request, segment, {"is_archived": True}, now)


def facts_of(segment: Segment) -> dict[str, Any]:
    """What people can change, as the audit log keeps it."""
    return {
        "name": segment.name,
        "description": segment.description,
        "definition": segment.definition,
        "version": segment.version,
        "is_archived": segment.archived_at is not None,
    }


def read_name(given: Any) -> str:
    """A name that is not empty, too long or built in. Raises ConfigError."""
    name = " ".join(given.split()) if isinstance(given, str) else ""
    most = _LONGEST["name"]
    if not 1 <= len(name) <= most or not _is_storable(name):
        raise _invalid({"name": f"a text of 1 to {most} characters"})
    plain = slugify(name).replace("-", "_")
    if plain in RESERVED or name.lower().startswith(("plan:", "segment:")):
        raise ConfigError(
            f"“{name}” is the name of something built in. Choose another one.",
            code="name_built_in",
            fields={"name": "not the name of a built-in segment"},
        )
    return name


def _checked(given: dict[str, Any]) -> tuple[str, str]:
    """(name, description) of a new segment. Raises ConfigError that names the faults
    of all its fields."""
    faults: list[ConfigError] = []
    name = description = ""
    try:
        name = read_name(given.get("name"))
    except ConfigError as exc:
        faults.append(exc)
    try:
        description = _description(given)
        parse(given.get("definition"))
    except ConfigError as exc:
        faults.append(exc)
    if faults:
        first = faults[0]
        fields = {key: text for fault in faults for key, text in fault.fields.items()}
        raise ConfigError(first.message, code=first.code, fields=fields)
    return name, description


def _description(given: dict[str, Any]) -> str:
    text = given.get("description")
    if text is None:
        return ""
    most = _LONGEST["description"]
    if not isinstance(text, str) or len(text) > most or not _is_storable(text):
        raise _invalid({"description": f"a text of at most {most} characters"})
    return text.strip()


def _is_storable(text: str) -> bool:
    return not any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in text)


def _free_slug(segment: Segment, taken: set[str]) -> str:
    """From the name; from the id where the name has no Latin letter."""
    base = slugify(segment.name)[:120] or f"segment-{segment.public_id[-8:]}"
    slug, number = base, 1
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug


def _save(segment: Segment) -> None:
    try:
        with transaction.atomic():
            segment.save()
    except IntegrityError as exc:
        raise ConfigError(
            f"There is a segment “{segment.name}” already.",
            code="name_taken",
            fields={"name": "not the name of another segment"},
        ) from exc


def _record(
    request: HttpRequest, action: str, segment: Segment, before: dict[str, Any] | None
) -> None:
    audit.record(
        request,
        action,
        organization=segment.organization,
        target_type="segment",
        target_id=segment.public_id,
        before=before,
        after=facts_of(segment),
    )


def _invalid(fields: dict[str, str]) -> ConfigError:
    return ConfigError("Some fields are not valid.", code="invalid", fields=fields)
