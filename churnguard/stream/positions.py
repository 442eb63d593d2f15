"""Where a page's live channels stand: the newest note it shows, per channel."""

from __future__ import annotations

from churnguard.models import StreamSequence


def newest(org_id: int, channel: str) -> int:
    """The number of the channel's newest note; 0 before the first one."""
    return _all(org_id).get(channel, 0)


def live_from(org_id: int, *channels: str) -> str:
    """`data-live` of a page: "channel:number" of each, separated by spaces, so that
    nothing is lost between rendering and connecting."""
    at = _all(org_id)
    return " ".join(f"{channel}:{at.get(channel, 0)}" for channel in channels)


def _all(org_id: int) -> dict[str, int]:
    rows = StreamSequence.objects.filter(organization_id=org_id)
    return dict(rows.values_list("channel", "seq"))
