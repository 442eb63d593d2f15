"""One connection's access token, fresh for every thread and process.

A refresh token may work only once: `TokenKeeper` lets one caller renew while the
others wait and then use the same result, and notes the spending beforehand, so that a
crash in between is told apart from a revoked access.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from churnguard.errors import AuthenticationError

# Renew this long before the end, so that no page read meets an expired token.
EARLY_S = 120.0


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What a grant gave us. expires_at: aware UTC, None = does not expire. raw: the
    whole answer without the tokens."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: datetime | None = None
    instance_url: str = ""
    scope: str = ""
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    issued_at: datetime | None = None

    def is_fresh(self, now: datetime, *, early_s: float = EARLY_S) -> bool:
        """Whether it still works for at least early_s seconds (a fifth of its life
        if that is shorter)."""
        if self.expires_at is None:
            return True
        if self.issued_at is not None:
            life_s = (self.expires_at - self.issued_at).total_seconds()
            early_s = min(early_s, life_s / 5)
        return now + timedelta(seconds=early_s) < self.expires_at


class TokenStore(Protocol):
    """Where one connection's tokens live; shared by all workers."""

    def load(self) -> TokenSet | None:
        """The current tokens, as last saved by anybody."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Wait until no other thread or process is inside. A crash must end it."""

    def note_spending(self, refresh_token: str) -> None:
        """Durably note, before the call, that this refresh token is being spent
        (keep a fingerprint only)."""

    def was_spent(self, refresh_token: str) -> bool:
        """Whether a note of this refresh token exists without a later `save`."""

    def save(self, tokens: TokenSet) -> None:
        """Durably keep the new tokens and drop the note."""


class MemoryTokenStore:
    """A store for tests, scripts and connections that live in one process."""

    def __init__(self, tokens: TokenSet | None = None) -> None:
        self._lock = threading.Lock()
        self._tokens = tokens
        self._spending = ""

    def load(self) -> TokenSet | None:
        return self._tokens

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._lock:
            yield

    def note_spending(self, refresh_token: str) -> None:
        self._spending = token_fingerprint(refresh_token)

    def was_spent(self, refresh_token: str) -> bool:
        return bool(refresh_token) and self._spending == token_fingerprint(
            refresh_token
        )

    def save(self, tokens: TokenSet) -> None:
        self._tokens = tokens
        self._spending = ""


@dataclass(slots=True, kw_only=True)
class TokenKeeper:
    """Hands out a working access token; renews it once for everybody.

    The live token is remembered until shortly before its end, so that threads ask the
    store once; one that another worker replaced shows by a 401, and `renew` reads the
    store again.

    grant: gets the present tokens (None at first) and returns new ones with
    `integrations.oauth` (refresh_tokens, client_credentials, jwt_bearer). With a
    client: `client.using(auth=bearer(keeper.access_token), refresh=keeper.renew)`.
    """

    store: TokenStore
    grant: Callable[[TokenSet | None], TokenSet]
    now: Callable[[], datetime]
    early_s: float = EARLY_S
    _live: TokenSet | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False
    )

    def tokens(self) -> TokenSet:
        """Tokens good for at least early_s, renewed first if needed."""
        live = self._live
        if live is not None and live.is_fresh(self.now(), early_s=self.early_s):
            return live
        with self._lock:
            # Another thread may have been here meanwhile.
            now, live = self.now(), self._live
            if live is None or not live.is_fresh(now, early_s=self.early_s):
                live = self.store.load()
            if live is None or not live.access_token:
                return self._renew("")
            if live.is_fresh(now, early_s=self.early_s):
                self._live = live
                return live
            return self._renew(live.access_token)

    def access_token(self) -> str:
        """The access token of `tokens`."""
        return self.tokens().access_token

    def instance_url(self) -> str:
        """The address that came with the tokens (Salesforce)."""
        return self.tokens().instance_url

    def renew(self, refused: str) -> None:
        """Replace an access token the provider refused, unless somebody has done so
        meanwhile. Raises AuthenticationError if a person must connect again."""
        with self._lock:
            if not self._is_newer(self._live, refused):
                self._renew(refused)

    def _is_newer(self, tokens: TokenSet | None, stale: str) -> bool:
        return (
            tokens is not None
            and tokens.access_token not in ("", stale)
            and tokens.is_fresh(self.now(), early_s=0.0)
        )

    def _renew(self, stale: str) -> TokenSet:
        with self.store.exclusive():
            current = self.store.load()
            if current is not None and self._is_newer(current, stale):
                self._live = current
                return current
            self._live = None
            spending = current.refresh_token if current else ""
            interrupted = self.store.was_spent(spending)
            if spending:
                self.store.note_spending(spending)
            try:
                fresh = self.grant(current)
            except AuthenticationError as exc:
                if interrupted:
                    raise AuthenticationError(
                        "A renewal of the access was interrupted before the new "
                        "tokens arrived, and the provider takes the old ones no "
                        "more; connect again.",
                        code="refresh_token_lost",
                    ) from exc
                raise
            self.store.save(fresh)
            self._live = fresh
            return fresh


def token_fingerprint(token: str) -> str:
    """A short one-way mark of a token, fit for a database column."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]
