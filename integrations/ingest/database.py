"""This process's own connections for ingest, beside Django's."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connections

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 20
LOCK_TIMEOUT_S = 5
_OPTIONS = (
    f"-c statement_timeout={STATEMENT_TIMEOUT_S}s "
    f"-c lock_timeout={LOCK_TIMEOUT_S}s "
    "-c idle_in_transaction_session_timeout=30s -c timezone=UTC"
)


def connect(application_name: str) -> psycopg.Connection[Any]:
    """A plain psycopg connection to the default database, in autocommit mode, on
    which no statement and no wait for a lock lasts for ever. Raises OperationalError.
    """
    params = connections["default"].get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        params.pop(name, None)
    params["options"] = f"{params.get('options', '')} {_OPTIONS}".strip()
    params["connect_timeout"] = CONNECT_TIMEOUT_S
    params["application_name"] = application_name
    # A server that vanished without a word is noticed within half a minute.
    params |= {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    return psycopg.connect(**params, autocommit=True)
