"""Saving definitions: versions are appended, a draft waits beside them.

Every function starts at an organisation, writes the audit log, and raises ConfigError
for what a person must put right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.http import Http404, HttpRequest
from django.utils import timezone

from analytics.definition import completed
from analytics.definitions import rollout
from analytics.definitions.models import DefinitionDraft
from analytics.definitions.validation import check_spec, flat
from analytics.models import ScoreDefinition
from analytics.scoring import active_definition
from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Customer, Organization

LONGEST_SEGMENT = 80
LONGEST_NOTE = 500
TARGET = "health_definition"


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for a segment ("" = the organisation): the version that scores it,
    whether that is its own, and the draft beside it."""

    segment: str
    active: ScoreDefinition
    is_own: bool
    draft: DefinitionDraft | None
    progress: rollout.Progress

    @property
    def shown_spec(self) -> dict[str, Any]:
        """What an editor begins with: the draft, else what is in use."""
        return completed(self.draft.spec if self.draft else self.active.spec)


def read_segment(organization: Organization, given: Any) -> str:
    """The segment, as text known here. Raises ConfigError."""
    segment = "" if given is None else given
    if not isinstance(segment, str) or len(segment) > LONGEST_SEGMENT:
        raise _bad_segment(f"Give text of at most {LONGEST_SEGMENT} characters.")
    if "\x00" in segment:
        raise _bad_segment("This text has a character that cannot be kept.")
    if not segment:
        return ""
    in_use = Customer.objects.filter(organization=organization, segment=segment)
    versions = ScoreDefinition.objects.filter(
        organization=organization, segment=segment
    )
    if not in_use.exists() and not versions.exists():
        raise _bad_segment(f"No account is in a segment “{segment}”.")
    return segment


def get_standing(organization: Organization, segment: str = "") -> Standing:
    """What holds for the segment now."""
    active = active_definition(organization.pk, segment)
    return Standing(
        segment=segment,
        active=active,
        is_own=active.segment == segment,
        draft=DefinitionDraft.objects.filter(
            organization=organization, segment=segment
        ).first(),
        progress=_progress(organization, segment, active),
    )


def get_version(
    organization: Organization, segment: str, number: Any
) -> ScoreDefinition:
    """One version. Raises ConfigError for what is no number, Http404 for none."""
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number[:9])
    if not isinstance(number, int) or isinstance(number, bool):
        raise ConfigError(
            "Give the number of a version.",
            code="invalid",
            fields={"version": "Give a whole number."},
        )
    found = ScoreDefinition.objects.filter(
        organization=organization, segment=segment, version=min(abs(number), 10**9)
    ).first()
    if found is None:
        raise Http404("No such version.")
    return found


def save(
    request: HttpRequest,
    organization: Organization,
    *,
    segment: str,
    spec: Any,
    note: Any = "",
    based_on: int | None = None,
    origin: str = "saved",
) -> tuple[ScoreDefinition, bool]:
    """(the version in use, whether it was made): appended and used from now on.

    The same content makes no version. based_on: the version the editor began with; a
    newer one in between is refused. Customers concerned are marked for new scores.
    """
    checked = check_spec(spec)
    text = _read_note(note)
    now = timezone.now()
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        active = active_definition(organization.pk, segment)
        if based_on is not None and active.version != based_on:
            raise ConfigError(
                f"Version {active.version} was saved in the meantime; you began with "
                f"version {based_on}. Look at it and save again.",
                code="changed_meanwhile",
                fields={"based_on_version": f"Version {active.version} is in use."},
            )
        if active.segment == segment and completed(active.spec) == checked:
            return active, False
        _retire(organization, segment, now)
        made = ScoreDefinition.objects.create(
            organization=organization,
            segment=segment,
            version=_next_version(organization, segment),
            spec=checked,
            is_active=True,
            note=text,
            created_by=audit.actor_of(request),
            active_from=now,
            marked_at=None,
            announced_at=None,
        )
        DefinitionDraft.objects.filter(
            organization=organization, segment=segment
        ).delete()
        audit.record(
            request,
            f"{TARGET}.{origin}",
            organization=organization,
            target_type=TARGET,
            target_id=_target(made),
            before={"version": active.version, **flat(completed(active.spec))},
            after={"version": made.version, "note": text, **flat(checked)},
        )
        _mark_small(made)
    return made, True


def restore(
    request: HttpRequest, organization: Organization, *, segment: str, number: Any
) -> tuple[ScoreDefinition, bool]:
    """Use the content of an old version again, as a new version."""
    old = get_version(organization, segment, number)
    return save(
        request,
        organization,
        segment=segment,
        spec=completed(old.spec),
        note=f"Back to version {old.version}.",
        origin="restored",
    )


def drop_segment(
    request: HttpRequest, organization: Organization, segment: str
) -> None:
    """Let the segment follow the organisation's definition again; its versions stay.

    Raises ConfigError for the organisation's own, Http404 where there is none.
    """
    if not segment:
        raise ConfigError(
            "The organisation's own definition cannot be dropped; only a segment's.",
            code="invalid",
            fields={"segment": "Give a segment."},
        )
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        retired = _retire(organization, segment, timezone.now())
        if retired is None:
            raise Http404("This segment has no definition of its own.")
        retired.marked_at = retired.announced_at = None
        retired.save(update_fields=["marked_at", "announced_at"])
        base = active_definition(organization.pk)
        audit.record(
            request,
            f"{TARGET}.segment_dropped",
            organization=organization,
            target_type=TARGET,
            target_id=_target(retired),
            before={"segment": segment, "version": retired.version},
            after={"segment": "", "version": base.version},
        )
        _mark_small(retired)


def put_draft(
    request: HttpRequest,
    organization: Organization,
    *,
    segment: str,
    spec: Any,
    origin: str = "edited",
) -> DefinitionDraft:
    """Keep the draft of the segment; it scores nobody."""
    checked = check_spec(spec)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        standing = get_standing(organization, segment)
        draft, _ = DefinitionDraft.objects.update_or_create(
            organization=organization,
            segment=segment,
            defaults={
                "spec": checked,
                "origin": origin,
                "updated_by": audit.actor_of(request),
            },
        )
        audit.record(
            request,
            f"{TARGET}.draft_kept",
            organization=organization,
            target_type=TARGET,
            target_id=segment or "organisation",
            before=flat(standing.shown_spec),
            after={"origin": origin, **flat(checked)},
        )
    return draft


def discard_draft(
    request: HttpRequest, organization: Organization, segment: str
) -> bool:
    """Forget the draft; False when there was none."""
    with transaction.atomic():
        draft = DefinitionDraft.objects.filter(
            organization=organization, segment=segment
        ).first()
        if draft is None:
            return False
        audit.record(
            request,
            f"{TARGET}.draft_discarded",
            organization=organization,
            target_type=TARGET,
            target_id=segment or "organisation",
            before={"origin": draft.origin},
        )
        draft.delete()
    return True


def _retire(
    organization: Organization, segment: str, now: Any
) -> ScoreDefinition | None:
    """End the segment's own active version, if it has one."""
    old = ScoreDefinition.objects.filter(
        organization=organization, segment=segment, is_active=True
    ).first()
    if old is not None:
        old.is_active, old.active_until = False, now
        # Its successor concerns the same customers, so there is nothing left to mark.
        old.marked_at, old.announced_at = old.marked_at or now, old.announced_at or now
        old.save(
            update_fields=["is_active", "active_until", "marked_at", "announced_at"]
        )
    return old


def _mark_small(version: ScoreDefinition) -> None:
    """A small organisation need not wait for the loop."""
    if rollout.concerned(version)[: rollout.AT_ONCE + 1].count() <= rollout.AT_ONCE:
        rollout.mark(version, timezone.now())


def _next_version(organization: Organization, segment: str) -> int:
    newest = ScoreDefinition.objects.filter(
        organization=organization, segment=segment
    ).aggregate(newest=Max("version"))["newest"]
    return int(newest or 0) + 1


def _progress(
    organization: Organization, segment: str, active: ScoreDefinition
) -> rollout.Progress:
    """Of the version in use; of the dropped one while its customers change over."""
    if active.segment != segment:
        dropped = (
            ScoreDefinition.objects.filter(
                organization=organization, segment=segment, announced_at__isnull=True
            )
            .order_by("-version")
            .first()
        )
        if dropped is not None:
            return rollout.get_progress(dropped)
    return rollout.get_progress(active)


def _target(version: ScoreDefinition) -> str:
    return f"{version.segment or 'organisation'} v{version.version}"


def _read_note(note: Any) -> str:
    if not isinstance(note, str) or len(note) > LONGEST_NOTE or "\x00" in note:
        raise ConfigError(
            "The note is not valid.",
            code="invalid",
            fields={"note": f"Give text of at most {LONGEST_NOTE} characters."},
        )
    return note.strip()


def _bad_segment(sentence: str) -> ConfigError:
    return ConfigError(
        "This segment cannot have a definition.",
        code="invalid_segment",
        fields={"segment": sentence},
    )
