"""What the identity API takes and answers, as its description tells it."""

from __future__ import annotations

from rest_framework import serializers


class IdentityRow(serializers.Serializer):
    identity = serializers.IntegerField(help_text="Names it in decisions and splits.")
    source = serializers.CharField()
    external_id = serializers.CharField()
    customer_id = serializers.CharField()
    name = serializers.CharField(allow_null=True)
    domain = serializers.CharField(allow_null=True)
    email = serializers.CharField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    country = serializers.CharField(allow_null=True)


class ReviewRow(serializers.Serializer):
    review_id = serializers.IntegerField()
    rule = serializers.CharField()
    key = serializers.CharField()
    evidence = serializers.CharField()
    reason = serializers.CharField(help_text="Why it was not followed.")
    created_at = serializers.DateTimeField()


class IdentityReviewRow(ReviewRow):
    identities = IdentityRow(many=True)


class IdentityReviewPage(serializers.Serializer):
    results = IdentityReviewRow(many=True)
    next = serializers.CharField(allow_null=True)


class IdentityReviewVerdict(serializers.Serializer):
    verdict = serializers.ChoiceField(("same", "different", "dismiss"))


class IdentityEvidence(serializers.Serializer):
    sentence = serializers.CharField()
    weight = serializers.FloatField(help_text="Above 0 for, below 0 against.")


class IdentitySuggestion(serializers.Serializer):
    first = IdentityRow()
    second = IdentityRow()
    weight = serializers.FloatField(help_text="The sum of the evidence.")
    evidence = IdentityEvidence(many=True)


class IdentitySuggestions(serializers.Serializer):
    results = IdentitySuggestion(many=True)
    as_of = serializers.DateTimeField()


class IdentitySuggestionVerdict(serializers.Serializer):
    first = serializers.IntegerField(min_value=1, max_value=2**62)
    second = serializers.IntegerField(min_value=1, max_value=2**62)
    verdict = serializers.ChoiceField(("same", "different"))


class CustomerMerge(serializers.Serializer):
    into = serializers.CharField(
        max_length=300, help_text="The other customer: our id, or its id in a source."
    )


class CustomerSplit(serializers.Serializer):
    identity = serializers.IntegerField(min_value=1, max_value=2**62)


class IdentityAct(serializers.Serializer):
    decision_id = serializers.IntegerField(
        allow_null=True, help_text="Revokes the act; null where none was needed."
    )
    customer_id = serializers.CharField(
        allow_null=True, help_text="Who has the identity now."
    )
    identities_moved = serializers.IntegerField()
