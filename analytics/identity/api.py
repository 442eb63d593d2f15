"""The identity API of customers: reviews, suggestions, merging, splitting, undoing."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.identity import level_api
from analytics.identity.levels import CUSTOMERS
from analytics.identity.shapes import (
    CustomerMerge,
    CustomerSplit,
    IdentityAct,
    IdentityReviewPage,
    IdentityReviewVerdict,
    IdentitySuggestions,
    IdentitySuggestionVerdict,
)
from analytics.queries import find_customer
from churnguard.models import CustomerSource
from churnguard.schema import ERRORS, PAGE

CUSTOMER = OpenApiParameter(
    "customer_id",
    str,
    OpenApiParameter.PATH,
    description="Our id (cus_…), or the id in a source.",
)


def _identity(one: CustomerSource) -> dict[str, Any]:
    return {
        "identity": one.pk,
        "source": one.source.name,
        "external_id": one.external_id,
        "customer_id": one.customer.public_id,
        **{
            name: getattr(one, name)
            for name in ("name", "domain", "email", "phone", "country")
        },
    }


class _OfCustomers:
    telling = level_api.Telling(
        level=CUSTOMERS,
        entity="customer",
        members="identities",
        find=find_customer,
        tell=_identity,
    )


@extend_schema_view(
    get=extend_schema(
        operation_id="identity_reviews",
        tags=["Identity"],
        parameters=PAGE,
        responses={200: IdentityReviewPage, **ERRORS},
    )
)
class IdentityReviewsView(_OfCustomers, level_api.Reviews):
    """Evidence that was not followed, for a person to decide on."""


@extend_schema_view(
    post=extend_schema(
        operation_id="identity_review_decide",
        tags=["Identity"],
        description="Say that the identities are the same customer, are different "
        "ones, or that\nthis evidence is not worth a decision.",
        request=IdentityReviewVerdict,
        responses={200: IdentityAct, **ERRORS},
    )
)
class IdentityReviewDecideView(_OfCustomers, level_api.ReviewDecide):
    """A person's answer to a review."""


@extend_schema_view(
    get=extend_schema(
        operation_id="identity_suggestions",
        tags=["Identity"],
        description="At most 200, of the last day; what was decided is not among them.",
        responses={200: IdentitySuggestions, **ERRORS},
    )
)
class IdentitySuggestionsView(_OfCustomers, level_api.Suggestions):
    """Customers that may be the same company, best first."""


@extend_schema_view(
    post=extend_schema(
        operation_id="identity_suggestion_decide",
        tags=["Identity"],
        description="Accept (same) or reject (different) it; a rejected one never "
        "comes back.",
        request=IdentitySuggestionVerdict,
        responses={200: IdentityAct, **ERRORS},
    )
)
class IdentitySuggestionDecideView(_OfCustomers, level_api.SuggestionDecide):
    """A person's answer to a suggestion."""


class CustomerMergeView(_OfCustomers, level_api.Merge):
    """Two customers that are one."""

    Shape = CustomerMerge

    @extend_schema(
        operation_id="customer_merge",
        tags=["Identity"],
        parameters=[CUSTOMER],
        request=CustomerMerge,
        responses={200: IdentityAct, **ERRORS},
    )
    def post(self, request: Request, customer_id: str) -> Response:
        """Merge with the customer `into`. The older of the two keeps its id, and the
        other's id leads to it. Revoking the decision gives both back."""
        return self.merge(request, customer_id)


class CustomerSplitView(_OfCustomers, level_api.Split):
    """An identity that is another customer."""

    @extend_schema(
        operation_id="customer_split",
        tags=["Identity"],
        parameters=[CUSTOMER],
        request=CustomerSplit,
        responses={200: IdentityAct, **ERRORS},
    )
    def post(self, request: Request, customer_id: str) -> Response:
        """Split an identity off; the others stay together."""
        return self.split(request, customer_id)


@extend_schema_view(
    post=extend_schema(
        operation_id="identity_decision_revoke",
        tags=["Identity"],
        request=None,
        responses={200: IdentityAct, **ERRORS},
    )
)
class IdentityRevokeView(_OfCustomers, level_api.Revoke):
    """Undo of a merge, a split or a verdict."""
