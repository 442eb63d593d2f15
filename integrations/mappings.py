"""The field mapping of a stream: versions, preview, and the compiled form for a run."""

from __future__ import annotations

from typing import Any

from integrations.models import Integration, StreamState


def compiled(integration: Integration, state: StreamState) -> Any:
    """What `shaping.Shape.mapping` takes; None where nothing is mapped."""
    return None
