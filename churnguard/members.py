"""Who belongs to an organisation: invitations, roles, leaving.

Owners may do all; admins manage everyone but owners; anybody may leave. An
organisation keeps at least one owner. Each change is audited in its transaction.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from churnguard import audit
from churnguard.auth import ROLE_RANK
from churnguard.errors import ConfigError
from churnguard.models import Invitation, Membership, Organization, Role, User

INVITATION_DAYS = 7


def acting_role(request: HttpRequest) -> str:
    """The role the request acts with; an API key of scope admin acts as an admin."""
    membership: Membership | None = getattr(request, "membership", None)
    if getattr(request, "api_key", None) is None and membership is not None:
        return membership.role
    scopes: frozenset[str] = getattr(request, "scopes", frozenset())
    return Role.ADMIN if "admin" in scopes else Role.VIEWER


def grantable_roles(role: str) -> list[str]:
    """The roles that someone of `role` may give, highest first."""
    if role == Role.OWNER:
        return list(Role.values)
    if role == Role.ADMIN:
        return [r for r in Role.values if r != Role.OWNER]
    return []


def list_members(organization: Organization) -> QuerySet[Membership]:
    """Members with their users, in the order they joined."""
    return organization.memberships.select_related("user").order_by("pk")


def list_invitations(
    organization: Organization, now: datetime | None = None
) -> QuerySet[Invitation]:
    """Invitations that can still be accepted, newest first."""
    return (
        organization.invitations.filter(usable(now or timezone.now()))
        .select_related("invited_by")
        .order_by("-pk")
    )


def invite(
    request: HttpRequest, organization: Organization, email: str, role: str
) -> tuple[Invitation, str]:
    """Make an invitation; the token is returned once and only its hash is stored.

    An older open invitation of the same address is revoked. Raises ConfigError when
    the person is a member already, PermissionDenied when the role may not be given.
    """
    _require_grant(request, role)
    user = request.user if request.user and request.user.is_authenticated else None
    return _issue(request, organization, email, role, invited_by=user)


def found(
    organization: Organization, owner_email: str, *, by: str
) -> tuple[Invitation, str]:
    """Store a new organisation and invite its first owner. by: for the audit log."""
    with transaction.atomic():
        organization.save()
        audit.record(
            by,
            "organization.created",
            organization=organization,
            target_type="organization",
            target_id=organization.public_id,
            after={"name": organization.name},
        )
        return _issue(by, organization, owner_email, Role.OWNER, invited_by=None)


def _issue(
    who: HttpRequest | str,
    organization: Organization,
    email: str,
    role: str,
    *,
    invited_by: User | None,
) -> tuple[Invitation, str]:
    email = email.strip().lower()
    if organization.memberships.filter(user__email__iexact=email).exists():
        raise ConfigError(
            f"{email} is a member already.",
            code="already_member",
            fields={"email": "a member already"},
        )
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        list_invitations(organization).filter(email=email).update(
            revoked_at=timezone.now()
        )
        invitation = Invitation.objects.create(
            organization=organization,
            email=email,
            role=role,
            token_hash=_hash(token),
            invited_by=invited_by,
            expires_at=timezone.now() + timedelta(days=INVITATION_DAYS),
        )
        audit.record(
            who,
            "member.invited",
            organization=organization,
            target_type="invitation",
            target_id=str(invitation.pk),
            after={"email": email, "role": role},
        )
    return invitation, token


def revoke_invitation(request: HttpRequest, invitation: Invitation) -> None:
    """Make the link useless. Idempotent."""
    _require_grant(request, invitation.role)
    with transaction.atomic():
        ended = Invitation.objects.filter(
            Q(pk=invitation.pk) & usable(timezone.now())
        ).update(revoked_at=timezone.now())
        if ended:
            audit.record(
                request,
                "invitation.revoked",
                organization=invitation.organization,
                target_type="invitation",
                target_id=str(invitation.pk),
                before={"email": invitation.email, "role": invitation.role},
            )


def find_invitation(token: str) -> Invitation | None:
    """The invitation of this token if it can still be accepted."""
    return (
        Invitation.objects.select_related("organization")
        .filter(Q(token_hash=_hash(token)) & usable(timezone.now()))
        .first()
    )


def accept(request: HttpRequest, invitation: Invitation, user: User) -> bool:
    """Make `user` a member; False when the invitation was used or revoked meanwhile.

    Who is a member already keeps the role they have.
    """
    with transaction.atomic():
        taken = Invitation.objects.filter(
            Q(pk=invitation.pk) & usable(timezone.now())
        ).update(accepted_at=timezone.now())
        if not taken:
            return False
        membership, is_new = Membership.objects.get_or_create(
            organization=invitation.organization,
            user=user,
            defaults={"role": invitation.role},
        )
        if is_new:
            audit.record(
                user.email,
                "member.joined",
                organization=invitation.organization,
                target_type="member",
                target_id=str(membership.pk),
                after={"email": user.email, "role": membership.role},
            )
    return True


def change_role(request: HttpRequest, membership: Membership, role: str) -> None:
    """Give a member another role. Raises PermissionDenied, or ConfigError for an
    unknown role and for the last owner."""
    if role not in Role.values:
        raise ConfigError(
            f"Role must be one of {', '.join(Role.values)}.",
            fields={"role": "unknown"},
        )
    with transaction.atomic():
        current = _lock(membership)
        _require_grant(request, role)
        _require_grant(request, current.role)
        if current.role == Role.OWNER and role != Role.OWNER:
            _require_other_owner(current)
        if current.role == role:
            return
        before = {"email": current.user.email, "role": current.role}
        Membership.objects.filter(pk=current.pk).update(role=role)
        audit.record(
            request,
            "member.role_changed",
            organization=current.organization,
            target_type="member",
            target_id=str(current.pk),
            before=before,
            after={**before, "role": role},
        )


def remove(request: HttpRequest, membership: Membership) -> None:
    """Take a member out, or leave. Raises PermissionDenied, or ConfigError for the
    last owner."""
    with transaction.atomic():
        current = _lock(membership)
        is_self = (
            getattr(request, "api_key", None) is None
            and current.user_id == request.user.pk
        )
        if not is_self:
            _require_grant(request, current.role)
        if current.role == Role.OWNER:
            _require_other_owner(current)
        audit.record(
            request,
            "member.left" if is_self else "member.removed",
            organization=current.organization,
            target_type="member",
            target_id=str(current.pk),
            before={"email": current.user.email, "role": current.role},
        )
        current.delete()


def usable(now: datetime) -> Q:
    """Invitations that can still be accepted at `now`."""
    return Q(accepted_at=None, revoked_at=None, expires_at__gt=now)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _lock(membership: Membership) -> Membership:
    # The organisation's row serialises changes, so two owners cannot both leave.
    Organization.objects.select_for_update().get(pk=membership.organization_id)
    return Membership.objects.select_related("user", "organization").get(
        pk=membership.pk
    )


def _require_grant(request: HttpRequest, role: str) -> None:
    mine = acting_role(request)
    if ROLE_RANK[mine] < ROLE_RANK[Role.ADMIN]:
        raise PermissionDenied("Only owners and admins manage members.")
    if role not in Role.values:
        raise ConfigError(
            f"Role must be one of {', '.join(Role.values)}.",
            fields={"role": "unknown"},
        )
    if role not in grantable_roles(mine):
        raise PermissionDenied("Only an owner can manage owners.")


def _require_other_owner(membership: Membership) -> None:
    others = Membership.objects.filter(
        organization_id=membership.organization_id, role=Role.OWNER
    ).exclude(pk=membership.pk)
    if not others.exists():
        raise ConfigError(
            "An organisation needs an owner. Make someone else an owner first.",
            code="last_owner",
        )
