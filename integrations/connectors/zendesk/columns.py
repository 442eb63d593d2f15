"""The fields Zendesk documents for its objects, for selection and drift."""

from __future__ import annotations

from integrations.connectors.base import Column

_SHARED = "url:string id:integer external_id:string created_at:datetime "
_SHARED += "updated_at:datetime"
_LISTED = {
    "organizations": "name:string domain_names:array tags:array details:string "
    "notes:string group_id:integer shared_tickets:boolean shared_comments:boolean "
    "organization_fields:json deleted_at:datetime",
    "users": "name:string email:string time_zone:string iana_time_zone:string "
    "phone:string shared_phone_number:boolean photo:json locale:string "
    "locale_id:integer organization_id:integer role:string role_type:integer "
    "custom_role_id:integer verified:boolean tags:array alias:string active:boolean "
    "shared:boolean shared_agent:boolean suspended:boolean details:string "
    "notes:string signature:string default_group_id:integer moderator:boolean "
    "ticket_restriction:string only_private_comments:boolean "
    "restricted_agent:boolean chat_only:boolean report_csv:boolean "
    "two_factor_auth_enabled:boolean last_login_at:datetime user_fields:json",
    "tickets": "generated_timestamp:integer via:json type:string subject:string "
    "raw_subject:string description:string priority:string status:string "
    "recipient:string requester_id:integer submitter_id:integer assignee_id:integer "
    "organization_id:integer group_id:integer collaborator_ids:array "
    "follower_ids:array email_cc_ids:array forum_topic_id:integer "
    "problem_id:integer has_incidents:boolean is_public:boolean due_at:datetime "
    "tags:array custom_fields:array fields:array satisfaction_rating:json "
    "sharing_agreement_ids:array custom_status_id:integer followup_ids:array "
    "ticket_form_id:integer brand_id:integer allow_channelback:boolean "
    "allow_attachments:boolean from_messaging_channel:boolean metric_set:json "
    "sideloaded:json",
}


def documented(stream: str) -> tuple[Column, ...]:
    """The documented fields of a stream's objects."""
    words = f"{_SHARED} {_LISTED[stream]}".split()
    pairs = (word.split(":") for word in words)
    return tuple(Column(name, kind) for name, kind in pairs)
