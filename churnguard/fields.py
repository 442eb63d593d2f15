"""Model fields of our own."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class SentJSONField(models.JSONField):
    """What a source sent, kept as the text it came in (PostgreSQL's `json`).

    `jsonb` takes a value apart and rounds what it cannot hold, and doing so is half the
    price of storing an object nobody looks into. There is no equality and no index.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "json"

    def from_db_value(
        self, value: Any, expression: Any, connection: BaseDatabaseWrapper
    ) -> Any:
        # psycopg has read it already.
        return value
