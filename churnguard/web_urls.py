"""Addresses of the kernel: signing in, the account, and the organisation's settings."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from churnguard.views import api, api_keys, audit, members, organizations, signin
from churnguard.views.styleguide import styleguide

urlpatterns = [
    path("api/v1/api-keys", api.ApiKeysView.as_view(), name="api-api-keys"),
    path("api/v1/api-keys/<str:key_id>", api.ApiKeyView.as_view(), name="api-api-key"),
    path(
        "api/v1/organization", api.OrganizationView.as_view(), name="api-organization"
    ),
    path("api/v1/members", api.MembersView.as_view(), name="api-members"),
    path("api/v1/members/<int:member_id>", api.MemberView.as_view(), name="api-member"),
    path(
        "api/v1/invitations/<int:invitation_id>",
        api.InvitationView.as_view(),
        name="api-invitation",
    ),
    path("api/v1/audit", api.AuditView.as_view(), name="api-audit"),
    path("sign-in/", signin.sign_in, name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("account/", signin.account, name="account"),
    path("invitations/<str:token>/", signin.accept_invitation, name="invitation"),
    path("organizations/", organizations.organizations, name="organizations"),
    path("organizations/switch/", organizations.switch, name="organization-switch"),
    path(
        "settings/organization/",
        organizations.settings,
        name="organization-settings",
    ),
    path("settings/members/", members.members, name="members"),
    path(
        "settings/members/<int:member_id>/role/",
        members.change_role,
        name="member-role",
    ),
    path(
        "settings/members/<int:member_id>/remove/",
        members.remove,
        name="member-remove",
    ),
    path(
        "settings/invitations/<int:invitation_id>/revoke/",
        members.revoke,
        name="invitation-revoke",
    ),
    path("settings/api-keys/", api_keys.api_keys, name="api-keys"),
    path(
        "settings/api-keys/<str:key_id>/revoke/",
        api_keys.revoke,
        name="api-key-revoke",
    ),
    path("settings/audit/", audit.audit, name="audit"),
    path("styleguide/", styleguide, name="styleguide"),
]
