"""A living sample company that knows the truth about itself.

Deterministic: customers of a fictional vendor over eighteen months, whose behaviour
comes from hidden causes. What the tools would export goes through the ordinary doors;
the truth stays here, for tests and for showing how well it was recovered. See
docs/sample-company.md.
"""

from churnguard.sample.causes import CAUSES
from churnguard.sample.company import SampleCompany, Truth, generate, live_events
from churnguard.sample.exports import EXPORTS, mappings
from churnguard.sample.faults import FileFacts
from churnguard.sample.names import VENDOR
from churnguard.sample.rates import exchange_rates
from churnguard.sample.segments import SEGMENTS
from churnguard.sample.world import BILLING, CRM, PRODUCT, SOURCES, SUPPORT

__all__ = [
    "BILLING",
    "CAUSES",
    "CRM",
    "EXPORTS",
    "PRODUCT",
    "SEGMENTS",
    "SOURCES",
    "SUPPORT",
    "VENDOR",
    "FileFacts",
    "SampleCompany",
    "Truth",
    "exchange_rates",
    "generate",
    "live_events",
    "mappings",
]
