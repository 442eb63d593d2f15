"""The tables of the integrations app. Import models from here."""

from integrations.models.access import Credential, OAuthState, TriedToken
from integrations.models.connection import (
    Integration,
    IntegrationStatus,
    IntegrationType,
    MappingVersion,
    SyncMode,
)
from integrations.models.files import Upload
from integrations.models.running import RunStatus, RunStream, SyncRun
from integrations.models.streams import StreamSeen, StreamState

__all__ = [
    "Credential",
    "Integration",
    "IntegrationStatus",
    "IntegrationType",
    "MappingVersion",
    "OAuthState",
    "RunStatus",
    "RunStream",
    "StreamSeen",
    "StreamState",
    "SyncMode",
    "SyncRun",
    "TriedToken",
    "Upload",
]
