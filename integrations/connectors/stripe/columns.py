"""The fields Stripe's API 2026-10-28.endive has, for selection and drift.

Times are unix seconds, amounts whole numbers of minor units.
"""

from __future__ import annotations

from collections.abc import Iterable

from integrations.connectors.base import Column, JsonDict

_FIELDS = {
    "customers": {
        "string": (
            "business_name currency customer_account default_source description "
            "email id individual_name invoice_prefix name object phone tax_exempt "
            "test_clock"
        ),
        "integer": "balance created next_invoice_sequence",
        "boolean": "delinquent livemode",
        "array": "preferred_locales",
        "json": (
            "address cash_balance discount invoice_credit_balance invoice_settings "
            "metadata shipping sources subscriptions tax tax_ids"
        ),
    },
    "products": {
        "string": (
            "default_price description id name object statement_descriptor tax_code "
            "type unit_label url"
        ),
        "integer": "created updated",
        "boolean": "active livemode shippable",
        "array": "images marketing_features",
        "json": "metadata package_dimensions tax_details",
    },
    "prices": {
        "string": (
            "billing_scheme currency id lookup_key nickname object product "
            "tax_behavior tiers_mode type unit_amount_decimal"
        ),
        "integer": "created unit_amount",
        "boolean": "active livemode",
        "array": "tiers",
        "json": (
            "currency_options custom_unit_amount metadata recurring transform_quantity"
        ),
    },
    "subscriptions": {
        "string": (
            "application collection_method currency customer customer_account "
            "default_payment_method default_source description id latest_invoice "
            "object on_behalf_of pending_setup_intent schedule status test_clock"
        ),
        "integer": (
            "billing_cycle_anchor cancel_at canceled_at created days_until_due "
            "ended_at next_pending_invoice_item_invoice start_date trial_end "
            "trial_start"
        ),
        "number": "application_fee_percent",
        "boolean": "cancel_at_period_end livemode",
        "array": "billing_schedules default_tax_rates discounts",
        "json": (
            "automatic_tax billing_cycle_anchor_config billing_mode "
            "billing_thresholds cancellation_details invoice_settings items "
            "managed_payments metadata pause_collection payment_settings "
            "pending_invoice_item_interval pending_update presentment_details "
            "status_details transfer_data trial_settings"
        ),
    },
    "invoices": {
        "string": (
            "account_country account_name application billing_reason "
            "collection_method currency customer customer_account customer_email "
            "customer_name customer_phone customer_tax_exempt "
            "default_payment_method default_source description footer "
            "hosted_invoice_url id invoice_pdf latest_revision number object "
            "on_behalf_of receipt_number statement_descriptor status test_clock"
        ),
        "integer": (
            "amount_due amount_overpaid amount_paid amount_paid_off_stripe "
            "amount_remaining amount_shipping attempt_count "
            "automatically_finalizes_at created due_date effective_at "
            "ending_balance next_payment_attempt period_end period_start "
            "post_payment_credit_notes_amount pre_payment_credit_notes_amount "
            "starting_balance subtotal subtotal_excluding_tax total "
            "total_excluding_tax webhooks_delivered_at"
        ),
        "boolean": "attempted auto_advance livemode",
        "array": (
            "account_tax_ids custom_fields customer_tax_ids default_tax_rates "
            "discounts total_discount_amounts total_pretax_credit_amounts "
            "total_taxes"
        ),
        "json": (
            "automatic_tax customer_address customer_shipping from_invoice issuer "
            "last_failed_charge last_finalization_error lines metadata parent "
            "payment_settings payments rendering shipping_cost shipping_details "
            "status_details status_transitions threshold_reason"
        ),
    },
    "charges": {
        "string": (
            "application application_fee authorization_code balance_transaction "
            "calculated_statement_descriptor currency customer description "
            "failure_balance_transaction failure_code failure_message id object "
            "on_behalf_of payment_intent payment_method receipt_email "
            "receipt_number receipt_url review source_transfer statement_descriptor "
            "statement_descriptor_suffix status transfer transfer_group"
        ),
        "integer": (
            "amount amount_captured amount_refunded application_fee_amount created"
        ),
        "boolean": "captured disputed livemode paid refunded",
        "json": (
            "billing_details fraud_details level3 metadata outcome "
            "payment_method_details presentment_details radar_options refunds "
            "shipping source transfer_data"
        ),
    },
    "payment_intents": {
        "string": (
            "application cancellation_reason capture_method confirmation_method "
            "currency customer customer_account description id latest_charge object "
            "on_behalf_of payment_method payment_record receipt_email review "
            "setup_future_usage source statement_descriptor "
            "statement_descriptor_suffix status transfer_group"
        ),
        "integer": (
            "amount amount_capturable amount_received application_fee_amount "
            "canceled_at created"
        ),
        "boolean": "livemode",
        "array": (
            "allowed_payment_method_types excluded_payment_method_types "
            "payment_method_types"
        ),
        "json": (
            "amount_details automatic_payment_methods hooks last_payment_error "
            "managed_payments metadata next_action payment_details "
            "payment_method_configuration_details payment_method_options "
            "presentment_details processing shipping transfer_data"
        ),
    },
    "refunds": {
        "string": (
            "balance_transaction charge currency customer customer_account "
            "description failure_balance_transaction failure_reason id "
            "instructions_email object payment_intent payment_method pending_reason "
            "reason receipt_number source_transfer_reversal status "
            "transfer_reversal"
        ),
        "integer": "amount created",
        "json": ("destination_details metadata next_action presentment_details"),
    },
    "disputes": {
        "string": (
            "charge currency id intended_submission_method network_reason_code "
            "object payment_intent reason status"
        ),
        "integer": "amount created",
        "boolean": "is_charge_refundable livemode",
        "array": "balance_transactions enhanced_eligibility_types",
        "json": "evidence evidence_details metadata payment_method_details",
    },
    "balance_transactions": {
        "string": (
            "balance_type currency description id object reporting_category source "
            "status type"
        ),
        "integer": "amount available_on created fee net",
        "number": "exchange_rate",
        "array": "fee_details",
    },
}
"""Stream -> type -> names."""


def columns_of(stream: str, rows: Iterable[JsonDict]) -> tuple[Column, ...]:
    """The documented fields of a stream's objects, and what some of them have in their
    metadata."""
    known = [
        Column(name, kind)
        for kind, names in _FIELDS[stream].items()
        for name in names.split()
    ]
    keys = {key for row in rows for key in row.get("metadata") or {}}
    own = [Column(f"metadata.{key}", "string", is_custom=True) for key in sorted(keys)]
    return (*known, *own)
