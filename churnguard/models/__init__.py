"""The tables of the kernel. Import models from here."""

from churnguard.models.activity import (
    CampaignEngagement,
    Contact,
    Conversation,
    Deal,
    Invoice,
    PersonLink,
    SourceObject,
    Subscription,
    SubscriptionChange,
    SurveyResponse,
    Ticket,
)
from churnguard.models.customers import (
    Customer,
    CustomerSource,
    IdentityLink,
    Person,
    Source,
    SourceMerge,
)
from churnguard.models.ledger import Batch, Quarantine, RunKey
from churnguard.models.live import Heartbeat, Notice, StreamNote, StreamSequence
from churnguard.models.money import ExchangeRate
from churnguard.models.schedule import Schedule
from churnguard.models.tenancy import (
    ApiKey,
    AuditEntry,
    Invitation,
    Membership,
    Organization,
    Role,
    User,
)
from churnguard.models.usage import OrgDay, OrgHour, UsageDay, UsageEvent, UsageWindow

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Batch",
    "CampaignEngagement",
    "Contact",
    "Conversation",
    "Customer",
    "CustomerSource",
    "Deal",
    "ExchangeRate",
    "Heartbeat",
    "IdentityLink",
    "Invitation",
    "Invoice",
    "Membership",
    "Notice",
    "OrgDay",
    "OrgHour",
    "Organization",
    "Person",
    "PersonLink",
    "Quarantine",
    "Role",
    "RunKey",
    "Schedule",
    "Source",
    "SourceMerge",
    "SourceObject",
    "StreamNote",
    "StreamSequence",
    "Subscription",
    "SubscriptionChange",
    "SurveyResponse",
    "Ticket",
    "UsageDay",
    "UsageEvent",
    "UsageWindow",
    "User",
]
