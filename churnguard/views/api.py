"""The settings pages as JSON: the organisation, keys, members, invitations, audit."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from churnguard import audit_log, keys, members, organizations
from churnguard.api import keyset_by_id, page_limit
from churnguard.auth import organization_of
from churnguard.models import ApiKey, Invitation, Membership, Organization, Role
from churnguard.schema import ERRORS, PAGE

_ADMIN = {"GET": "admin", "POST": "admin", "PATCH": "admin", "DELETE": "admin"}


class ApiKeyRow(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(list(keys.SCOPES)))
    state = serializers.ChoiceField(["active", "expired", "revoked"])
    created_by = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class ApiKeyPage(serializers.Serializer):
    results = ApiKeyRow(many=True)
    next = serializers.CharField(allow_null=True)


class NewApiKey(serializers.Serializer):
    name = serializers.CharField(max_length=120)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(list(keys.SCOPES)), min_length=1, max_length=4
    )
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None
    )


class MadeApiKey(ApiKeyRow):
    key = serializers.CharField(help_text="Shown only in this answer.")


class MemberRow(serializers.Serializer):
    id = serializers.IntegerField()
    email = serializers.EmailField()
    name = serializers.CharField()
    role = serializers.ChoiceField(Role.choices)
    joined_at = serializers.DateTimeField()
    last_sign_in_at = serializers.DateTimeField(allow_null=True)


class InvitationRow(serializers.Serializer):
    id = serializers.IntegerField()
    email = serializers.EmailField()
    role = serializers.ChoiceField(Role.choices)
    invited_by = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class MemberList(serializers.Serializer):
    results = MemberRow(many=True)
    invitations = InvitationRow(
        many=True, help_text="Open ones; empty without the scope admin."
    )


class NewInvitation(serializers.Serializer):
    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(Role.choices, default=Role.VIEWER)


class MadeInvitation(InvitationRow):
    link = serializers.CharField(help_text="Shown only in this answer.")


class NewRole(serializers.Serializer):
    role = serializers.ChoiceField(Role.choices)


class AuditRow(serializers.Serializer):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    action = serializers.CharField()
    target_type = serializers.CharField()
    target_id = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)
    request_id = serializers.CharField()


class AuditPage(serializers.Serializer):
    results = AuditRow(many=True)
    next = serializers.CharField(allow_null=True)


class OrganizationSettings(serializers.Serializer):
    id = serializers.CharField(source="public_id", read_only=True)
    name = serializers.CharField(max_length=200)
    timezone = serializers.CharField(
        max_length=64, help_text="IANA name; its days are those of every report."
    )
    base_currency = serializers.CharField(max_length=3)
    is_fixed = serializers.SerializerMethodField(
        help_text="Whether data are stored, so that only the name can be changed."
    )

    def get_is_fixed(self, organization: Organization) -> bool:
        return organizations.is_counting(organization)


class OrganizationView(APIView):
    """The organisation itself."""

    required_scope = {"PATCH": "admin"}

    @extend_schema(
        operation_id="organization_get",
        tags=["Settings"],
        responses={200: OrganizationSettings, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Its name, and what it counts by."""
        return Response(OrganizationSettings(organization_of(request)).data)

    @extend_schema(
        operation_id="organization_change",
        tags=["Settings"],
        request=OrganizationSettings,
        responses={200: OrganizationSettings, **ERRORS},
    )
    def patch(self, request: Request) -> Response:
        """Change some of it. Time zone and currency are fixed once data are stored."""
        given = OrganizationSettings(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        changed = organizations.change(
            request._request, organization_of(request), given.validated_data
        )
        return Response(OrganizationSettings(changed).data)


class ApiKeysView(APIView):
    """The organisation's API keys."""

    required_scope = _ADMIN

    @extend_schema(
        operation_id="api_keys_list",
        tags=["Settings"],
        parameters=PAGE,
        responses={200: ApiKeyPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Newest first, revoked and expired ones too."""
        rows, after = keyset_by_id(
            keys.list_keys(organization_of(request)),
            cursor=request.query_params.get("cursor"),
            limit=page_limit(request.query_params.get("limit")),
        )
        return Response({"results": [_key(row) for row in rows], "next": after})

    @extend_schema(
        operation_id="api_keys_create",
        tags=["Settings"],
        request=NewApiKey,
        responses={201: MadeApiKey, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Make a key. Its text is in this answer and nowhere else."""
        given = _valid(NewApiKey, request)
        key, plain = keys.create(
            request._request,
            organization_of(request),
            given["name"],
            given["scopes"],
            given["expires_at"],
        )
        return _once({**_key(key), "key": plain})


class ApiKeyView(APIView):
    """One API key."""

    required_scope = _ADMIN

    @extend_schema(
        operation_id="api_keys_revoke",
        tags=["Settings"],
        responses={204: None, **ERRORS},
    )
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke the key at once. Idempotent; the row stays."""
        found = organization_of(request).api_keys.filter(public_id=key_id)
        keys.revoke(request._request, get_object_or_404(found))
        return Response(status=204)


class MembersView(APIView):
    """Members and open invitations."""

    required_scope = {"POST": "admin"}

    @extend_schema(
        operation_id="members_list",
        tags=["Settings"],
        responses={200: MemberList, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """In the order they joined."""
        organization = organization_of(request)
        is_admin = members.grantable_roles(members.acting_role(request._request))
        open_ones = members.list_invitations(organization) if is_admin else ()
        return Response(
            {
                "results": [_member(row) for row in members.list_members(organization)],
                "invitations": [_invitation(row) for row in open_ones],
            }
        )

    @extend_schema(
        operation_id="members_invite",
        tags=["Settings"],
        request=NewInvitation,
        responses={201: MadeInvitation, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Make an invitation link; it is in this answer and nowhere else."""
        given = _valid(NewInvitation, request)
        invitation, token = members.invite(
            request._request, organization_of(request), given["email"], given["role"]
        )
        link = request.build_absolute_uri(reverse("invitation", args=[token]))
        return _once({**_invitation(invitation), "link": link})


class MemberView(APIView):
    """One member."""

    required_scope = {"PATCH": "admin", "DELETE": "read"}

    @extend_schema(
        operation_id="members_change_role",
        tags=["Settings"],
        request=NewRole,
        responses={200: MemberRow, **ERRORS},
    )
    def patch(self, request: Request, member_id: int) -> Response:
        """Change the role. Admins cannot make or change owners."""
        membership = self._find(request, member_id)
        members.change_role(
            request._request, membership, _valid(NewRole, request)["role"]
        )
        return Response(_member(self._find(request, member_id)))

    @extend_schema(
        operation_id="members_remove",
        tags=["Settings"],
        responses={204: None, **ERRORS},
    )
    def delete(self, request: Request, member_id: int) -> Response:
        """Remove a member (admins), or leave (everyone). The last owner stays."""
        members.remove(request._request, self._find(request, member_id))
        return Response(status=204)

    def _find(self, request: Request, member_id: int) -> Membership:
        rows = members.list_members(organization_of(request))
        return get_object_or_404(rows, pk=member_id)


class InvitationView(APIView):
    """One invitation."""

    required_scope = _ADMIN

    @extend_schema(
        operation_id="invitations_revoke",
        tags=["Settings"],
        responses={204: None, **ERRORS},
    )
    def delete(self, request: Request, invitation_id: int) -> Response:
        """Make the link useless. Idempotent."""
        found = organization_of(request).invitations.filter(pk=invitation_id)
        members.revoke_invitation(request._request, get_object_or_404(found))
        return Response(status=204)


class AuditView(APIView):
    """The audit log."""

    required_scope = _ADMIN

    @extend_schema(
        operation_id="audit_list",
        tags=["Settings"],
        parameters=[
            OpenApiParameter("actor", str, description="Part of the actor."),
            OpenApiParameter("action", str, description="Start of the action."),
            OpenApiParameter("target", str, description="Part of the target's id."),
            OpenApiParameter("since", str, description="From this day or time, UTC."),
            OpenApiParameter("until", str, description="Before this day or time, UTC."),
            *PAGE,
        ],
        responses={200: AuditPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        rows, after = audit_log.list_entries(
            organization_of(request),
            audit_log.AuditFilter.from_query(request.query_params),
            cursor=request.query_params.get("cursor"),
            limit=page_limit(request.query_params.get("limit")),
        )
        fields = list(AuditRow().fields)
        results = [{name: getattr(row, name) for name in fields} for row in rows]
        return Response({"results": results, "next": after})


def _valid(
    serializer: type[serializers.Serializer], request: Request
) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _once(body: dict[str, Any]) -> Response:
    return Response(body, status=201, headers={"Cache-Control": "no-store"})


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.public_id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "state": keys.get_state(key),
        "created_by": key.created_by.email if key.created_by else None,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def _member(row: Membership) -> dict[str, Any]:
    return {
        "id": row.pk,
        "email": row.user.email,
        "name": row.user.get_full_name(),
        "role": row.role,
        "joined_at": row.created_at,
        "last_sign_in_at": row.user.last_login,
    }


def _invitation(row: Invitation) -> dict[str, Any]:
    return {
        "id": row.pk,
        "email": row.email,
        "role": row.role,
        "invited_by": row.invited_by.email if row.invited_by else None,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }
