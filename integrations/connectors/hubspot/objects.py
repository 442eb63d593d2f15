"""HubSpot's CRM objects: what each becomes, and which properties we ask for.

Only properties that are asked for come back, so these lists are what the unified
model needs; custom properties of the account are asked for besides.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """name: in addresses and as stream name. modified: the property that orders
    changes. links: associated objects that are read for each record. has_sure_links:
    False where HubSpot may know no association with one of them."""

    name: str
    record_type: str
    label: str = ""
    modified: str = "hs_lastmodifieddate"
    properties: tuple[str, ...] = ()
    links: tuple[str, ...] = ("companies",)
    selected: bool = True
    has_sure_links: bool = True


_MERGED = "hs_merged_object_ids"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "companies",
            "customer",
            label="Companies",
            links=(),
            properties=(
                *("name", "domain", "phone", "country", "industry", "type"),
                *("numberofemployees", "annualrevenue", "lifecyclestage"),
                *("hs_lead_status", "hubspot_owner_id", "hs_parent_company_id"),
                *("closedate", "createdate", "notes_last_contacted"),
                *("notes_last_updated", "hs_last_sales_activity_timestamp", _MERGED),
            ),
        ),
        Kind(
            "contacts",
            "contact",
            label="Contacts",
            modified="lastmodifieddate",
            properties=(
                *("email", "firstname", "lastname", "phone", "jobtitle"),
                *("lifecyclestage", "hs_buying_role", "hs_email_optout"),
                *("notes_last_contacted", "createdate", "associatedcompanyid"),
                *("hs_email_open", "hs_email_click", "hs_email_last_open_date"),
                *("hs_analytics_last_visit_timestamp", "hs_analytics_num_page_views"),
                *("num_conversion_events", "hubspot_owner_id", _MERGED),
            ),
        ),
        Kind(
            "deals",
            "deal",
            label="Deals",
            properties=(
                *("dealname", "dealstage", "pipeline", "amount", "dealtype"),
                *("deal_currency_code", "amount_in_home_currency", "closedate"),
                *("createdate", "hs_is_closed", "hs_is_closed_won"),
                *("hs_deal_stage_probability", "hubspot_owner_id"),
                *("closed_lost_reason", _MERGED),
            ),
        ),
        Kind(
            "tickets",
            "ticket",
            label="Tickets",
            links=("companies", "contacts"),
            properties=(
                *("subject", "hs_pipeline", "hs_pipeline_stage"),
                *("hs_ticket_priority", "hs_ticket_category", "source_type"),
                *("createdate", "closed_date", "first_agent_reply_date"),
                *("time_to_close", "time_to_first_agent_reply"),
                *("hs_num_times_contacted", "hubspot_owner_id", "hubspot_team_id"),
                *(
                    "hs_time_to_first_response_sla_status",
                    "hs_time_to_close_sla_status",
                ),
                _MERGED,
            ),
        ),
        Kind(
            "feedback_submissions",
            "survey_response",
            label="Feedback submissions",
            links=("companies", "contacts"),
            properties=(
                *("hs_survey_type", "hs_survey_name", "hs_survey_channel", "hs_value"),
                *("hs_response_group", "hs_sentiment", "hs_content"),
                *("hs_submission_timestamp", "hs_contact_id", "hs_createdate"),
            ),
            has_sure_links=False,
        ),
        *(
            Kind(
                name,
                "conversation",
                label=name.capitalize(),
                links=("companies", "contacts"),
                # Bodies are left out: they are private and not needed.
                properties=("hs_timestamp", "hubspot_owner_id", *properties),
                selected=False,
            )
            for name, properties in (
                ("calls", ("hs_call_title", "hs_call_direction", "hs_call_status")),
                (
                    "emails",
                    ("hs_email_subject", "hs_email_direction", "hs_email_status"),
                ),
                (
                    "meetings",
                    (
                        "hs_meeting_title",
                        "hs_meeting_outcome",
                        "hs_meeting_start_time",
                        "hs_meeting_end_time",
                    ),
                ),
                ("notes", ()),
                (
                    "tasks",
                    ("hs_task_subject", "hs_task_status", "hs_task_completion_date"),
                ),
            )
        ),
    )
}


def kind_of(stream_name: str) -> Kind:
    """The kind of a stream; an unknown name is one of the account's own objects."""
    known = KINDS.get(stream_name)
    return known or Kind(stream_name, "object", selected=False, has_sure_links=False)
