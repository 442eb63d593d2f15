"""What the contract suite needs to know of a fake provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from tests.fakes.server import FakeServer, Request, Response, serving

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
CANARY = "canary-5f1c9d-secret"


class FakeProvider:
    """One provider account in memory. Subclass per provider.

    name: its key in the registry. stream: the stream the suite reads. list_path:
    prefix of the requests that list it. Pages must hold batch_size (10) records. The
    supports_* say which
    parts of the suite apply; each False needs its reason in `why_not`. stuck: while
    True the fake answers the same page for ever.
    """

    name: ClassVar[str]
    stream: ClassVar[str]
    list_path: ClassVar[str] = "/"
    record_type: ClassVar[str] = "contact"
    supports_incremental: ClassVar[bool] = True
    supports_delete: ClassVar[bool] = True
    supports_merge: ClassVar[bool] = False
    supports_refresh: ClassVar[bool] = False
    supports_stuck: ClassVar[bool] = True
    supports_extend: ClassVar[bool] = True
    supports_spoil: ClassVar[bool] = True
    supports_quota: ClassVar[bool] = True
    supports_fault: ClassVar[bool] = True
    why_not: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.clock = START
        self.stuck = False

    # --- what the suite does to the account -------------------------------------
    def seed(self, count: int) -> list[str]:
        """Make `count` objects of the stream; every 10 share one change time, so a
        page edge falls between equal times. Returns their external ids in order."""
        ids = []
        for number in range(count):
            if number % 10 == 5:
                self.tick()
            ids.append(self.add(number))
        return ids

    def tick(self) -> datetime:
        """Move the provider's clock on by a minute."""
        self.clock += timedelta(minutes=1)
        return self.clock

    def add(self, number: int) -> str:
        """One more object of the stream, changed now; returns its external id."""
        raise AssertionError("write add() for this fake")

    def change(self, external_id: str, name: str) -> None:
        """Give the object another name, changed now."""
        raise AssertionError("write change() for this fake")

    def remove(self, external_id: str) -> None:
        """Delete it as a person at the provider would, now."""
        raise AssertionError("write remove() for this fake")

    def merge(self, loser: str, winner: str) -> None:
        """Merge two objects as the provider does, now."""
        raise AssertionError("write merge() for this fake")

    def spoil(self, external_id: str) -> None:
        """Give the object a value of the wrong type that cannot be used, now."""
        raise AssertionError("write spoil() for this fake")

    def extend(self, external_id: str) -> None:
        """Give the object a field nobody has seen before, now."""
        raise AssertionError("write extend() for this fake")

    def expire_token(self) -> None:
        """The access token in use stops working; a refresh gives another."""
        raise AssertionError("write expire_token() for this fake")

    def lose_refresh(self) -> None:
        """The refresh token stops working too."""
        raise AssertionError("write lose_refresh() for this fake")

    def refuse_credentials(self, server: FakeServer) -> None:
        """The credentials are good for nothing from now on."""
        server.fail("reply", response=self.unauthorized(), times=50)

    def go_down(self, server: FakeServer) -> dict[str, Any]:
        """No request succeeds from now on. Returns settings to change for that."""
        server.fail("reply", response=Response(503, {}), times=500)
        return {}

    # --- how to connect ---------------------------------------------------------
    def settings(self, url: str) -> dict[str, Any]:
        """Open settings for an integration that talks to `url`."""
        return {"base_url": url}

    def secrets(self) -> dict[str, Any]:
        """Secret fields; every text of them holds CANARY."""
        return {}

    # --- faults in the provider's own words -------------------------------------
    def too_many(self, retry_after: str | None) -> Response:
        """429, with or without the time to wait."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return Response(429, {"message": "Too many requests"}, headers)

    def quota(self) -> Response:
        """The provider's "quota used up" (often a 403)."""
        return Response(403, {"message": "Quota exceeded"})

    def unauthorized(self) -> Response:
        """The provider's 401."""
        return Response(401, {"message": "Unauthorized"})

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        raise AssertionError("write handle() for this fake")

    @contextmanager
    def serve(self) -> Iterator[FakeServer]:
        with serving(self) as server:
            yield server
