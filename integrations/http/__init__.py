"""The outbound door. Connectors import from here: `Client`, auth hooks, errors."""

from integrations.http.auth import basic, bearer, header_key, query_key
from integrations.http.body import Reply, Stream
from integrations.http.call import Call, CallFacts
from integrations.http.client import Client
from integrations.http.parallel import ordered_map
from integrations.http.redact import Redactor
from integrations.http.replies import RefusedError
from integrations.http.waits import RetryPolicy

__all__ = [
    "Call",
    "CallFacts",
    "Client",
    "Redactor",
    "RefusedError",
    "Reply",
    "RetryPolicy",
    "Stream",
    "basic",
    "bearer",
    "header_key",
    "ordered_map",
    "query_key",
]
