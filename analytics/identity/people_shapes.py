"""The answers of the people API, as its description tells them."""

from __future__ import annotations

from rest_framework import serializers

from analytics.identity.shapes import IdentityEvidence, ReviewRow


class SourceSaying(serializers.Serializer):
    source = serializers.CharField()
    external_id = serializers.CharField()
    value = serializers.JSONField()
    at = serializers.DateTimeField()
    is_own_time = serializers.BooleanField(
        help_text="The source's own time; else when it was stored."
    )
    is_deleted = serializers.BooleanField()
    is_winner = serializers.BooleanField()


class SourceField(serializers.Serializer):
    name = serializers.CharField()
    label = serializers.CharField()
    value = serializers.JSONField()
    why = serializers.CharField(help_text="Why this value is the one that is shown.")
    sayings = SourceSaying(many=True, help_text="The winner first.")


class SourceVoice(serializers.Serializer):
    source = serializers.CharField()
    external_id = serializers.CharField()
    identity = serializers.IntegerField()
    said_at = serializers.DateTimeField(help_text="Of this record.")
    heard_at = serializers.DateTimeField(
        allow_null=True, help_text="When the source last delivered anything."
    )
    is_deleted = serializers.BooleanField()


class CustomerSayings(serializers.Serializer):
    customer_id = serializers.CharField()
    sources = SourceVoice(many=True)

    # `fields` is a word of the serializer itself, so it is set by name.
    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), "fields": SourceField(many=True)}


class PersonUse(serializers.Serializer):
    source = serializers.CharField()
    user_id = serializers.CharField()
    last_at = serializers.DateTimeField()
    events = serializers.IntegerField()
    rule = serializers.CharField(help_text="Why this user is the person.")


class PersonRow(serializers.Serializer):
    person_id = serializers.CharField()
    name = serializers.CharField()
    email = serializers.CharField(allow_null=True)
    title = serializers.CharField(allow_null=True)
    role = serializers.CharField(allow_null=True)
    sources = serializers.ListField(child=serializers.CharField())
    billed_by = serializers.ListField(
        child=serializers.CharField(),
        help_text="Sources in which theirs is the customer's own address.",
    )
    newest_at = serializers.DateTimeField()
    used_at = serializers.DateTimeField(allow_null=True)
    is_deleted = serializers.BooleanField()


class CustomerPeople(serializers.Serializer):
    results = PersonRow(many=True, help_text="At most 200.")
    total = serializers.IntegerField()
    nameless_users = serializers.IntegerField(
        help_text="Users of the product that are nobody's contact."
    )


class PersonContact(serializers.Serializer):
    identity = serializers.IntegerField(help_text="Names it in a split.")
    source = serializers.CharField()
    external_id = serializers.CharField()
    rule = serializers.CharField()
    key = serializers.CharField(allow_blank=True)
    since = serializers.DateTimeField(allow_null=True)


class PersonDetail(PersonRow):
    customers = serializers.ListField(child=serializers.CharField())
    contacts = PersonContact(many=True)
    uses = PersonUse(many=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), "fields": SourceField(many=True)}


class PersonMerge(serializers.Serializer):
    into = serializers.CharField(max_length=64, help_text="The other person: per_….")


class PersonAct(serializers.Serializer):
    decision_id = serializers.IntegerField(
        allow_null=True, help_text="Revokes the act; null where none was needed."
    )
    person_id = serializers.CharField(
        allow_null=True, help_text="Who has the contact now."
    )
    contacts_moved = serializers.IntegerField()


class ReviewedContact(serializers.Serializer):
    identity = serializers.IntegerField()
    source = serializers.CharField()
    external_id = serializers.CharField()
    person_id = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    email = serializers.CharField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)


class PersonReviewRow(ReviewRow):
    contacts = ReviewedContact(many=True)


class PersonReviewPage(serializers.Serializer):
    results = PersonReviewRow(many=True)
    next = serializers.CharField(allow_null=True)


class PersonSuggestion(serializers.Serializer):
    first = ReviewedContact()
    second = ReviewedContact()
    weight = serializers.FloatField(help_text="The sum of the evidence.")
    evidence = IdentityEvidence(many=True)


class PersonSuggestions(serializers.Serializer):
    results = PersonSuggestion(many=True)
    as_of = serializers.DateTimeField()
