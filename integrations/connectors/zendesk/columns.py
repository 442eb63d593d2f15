"""The fields Zendesk documents for its objects, for selection and drift."""

from __future__ import annotations

from integrations.connectors.base import Column

_SHARED = "url:string id:integer created_at:datetime updated_at:datetime "
_LISTED = {
    "organizations": f"{_SHARED}external_id:string "
    "name:string domain_names:array tags:array details:string "
    "notes:string group_id:integer shared_tickets:boolean shared_comments:boolean "
    "organization_fields:json deleted_at:datetime",
    "users": f"{_SHARED}external_id:string "
    "name:string email:string time_zone:string iana_time_zone:string "
    "phone:string shared_phone_number:boolean photo:json locale:string "
    "locale_id:integer organization_id:integer role:string role_type:integer "
    "custom_role_id:integer verified:boolean tags:array alias:string active:boolean "
    "shared:boolean shared_agent:boolean suspended:boolean details:string "
    "notes:string signature:string default_group_id:integer moderator:boolean "
    "ticket_restriction:string only_private_comments:boolean "
    "restricted_agent:boolean chat_only:boolean report_csv:boolean "
    "two_factor_auth_enabled:boolean last_login_at:datetime user_fields:json",
    "tickets": f"{_SHARED}external_id:string "
    "generated_timestamp:integer via:json type:string subject:string "
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
    "satisfaction_ratings": f"{_SHARED}assignee_id:integer group_id:integer "
    "requester_id:integer ticket_id:integer score:string comment:string reason:string "
    "reason_code:integer reason_id:integer",
    "survey_responses": "id:string survey:json responder_id:integer subjects:array "
    "subject_zrns:array answers:array expires_at:datetime sideloaded:json",
    "sla_events": "id:integer ticket_id:integer metric:string instance_id:integer "
    "type:string time:datetime sla:json group_sla:json status:json deleted:boolean",
    "ticket_metrics": f"{_SHARED}ticket_id:integer group_stations:integer "
    "assignee_stations:integer reopens:integer replies:integer "
    "assignee_updated_at:datetime requester_updated_at:datetime "
    "status_updated_at:datetime custom_status_updated_at:datetime "
    "initially_assigned_at:datetime assigned_at:datetime solved_at:datetime "
    "latest_comment_added_at:datetime reply_time_in_minutes:json "
    "reply_time_in_seconds:json first_resolution_time_in_minutes:json "
    "full_resolution_time_in_minutes:json agent_wait_time_in_minutes:json "
    "requester_wait_time_in_minutes:json on_hold_time_in_minutes:json",
}


def documented(stream: str) -> tuple[Column, ...]:
    """The documented fields of a stream's objects."""
    pairs = (word.split(":") for word in _LISTED[stream].split())
    return tuple(Column(name, kind) for name, kind in pairs)
