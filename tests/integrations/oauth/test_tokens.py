"""One renewal for everybody, and what a crash in the middle leaves behind."""

from __future__ import annotations

import threading
import time as real_time
from datetime import timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnguard.errors import AuthenticationError, TransientError
from integrations.http import bearer
from integrations.oauth import OAuthApp, refresh_tokens
from integrations.tokens import MemoryTokenStore, TokenKeeper, TokenSet
from tests.integrations.http.door import START, Time, make_client


class RotatingServer:
    """Each refresh token works once; an access token stays valid until the next."""

    def __init__(self, slow_s: float = 0.0) -> None:
        self.number = 0
        self.refreshes = 0
        self.lose_answer = False
        self.slow_s = slow_s
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return self._refresh(request)
        if request.headers.get("authorization") == f"Bearer access-{self.number}":
            return httpx.Response(200, json={"ok": True})
        return httpx.Response(401)

    def _refresh(self, request: httpx.Request) -> httpx.Response:
        real_time.sleep(self.slow_s)
        with self._lock:
            if f"refresh_token=refresh-{self.number}&" not in request.content.decode():
                return httpx.Response(400, json={"error": "invalid_grant"})
            self.number += 1
            self.refreshes += 1
        if self.lose_answer:
            self.lose_answer = False
            raise httpx.ReadTimeout("lost")
        return httpx.Response(
            200,
            json={
                "access_token": f"access-{self.number}",
                "refresh_token": f"refresh-{self.number}",
                "expires_in": 1800,
            },
        )


def connected(server: RotatingServer, time: Time, expires_in_s: float = 1800):
    """(client, keeper, store) of a connection with tokens number 0."""
    app = OAuthApp(
        client_id="c", client_secret="s", token_url="https://api.example.com/token"
    )
    store = MemoryTokenStore(
        TokenSet(
            "access-0",
            "refresh-0",
            START + timedelta(seconds=expires_in_s),
            issued_at=START,
        )
    )
    client = make_client(server, time=time)

    def grant(current: TokenSet | None) -> TokenSet:
        assert current is not None
        return refresh_tokens(client, app, current, now=time.now())

    keeper = TokenKeeper(store=store, grant=grant, now=time.now)
    signed = client.using(auth=bearer(keeper.access_token), refresh=keeper.renew)
    return signed, keeper, store


def run_together(count: int, work) -> list[Exception]:
    """Run work in that many threads at once; the errors they ended with."""
    errors: list[Exception] = []
    barrier = threading.Barrier(count)

    def one() -> None:
        barrier.wait()
        try:
            work()
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


def test_200_callers_of_an_expired_token_make_one_refresh():
    server, time = RotatingServer(slow_s=0.02), Time()
    client, _keeper, store = connected(server, time, expires_in_s=-1)

    errors = run_together(200, lambda: client.get_json("/x"))

    assert errors == []
    assert server.refreshes == 1
    assert store.load().access_token == "access-1"


def test_200_callers_of_a_refused_token_make_one_refresh():
    """The token looks fresh to us, but the provider has ended it."""
    server, time = RotatingServer(slow_s=0.02), Time()
    client, _keeper, store = connected(server, time)
    store.save(TokenSet("access-ended", "refresh-0"))

    errors = run_together(200, lambda: client.get_json("/x"))

    assert errors == []
    assert server.refreshes == 1


def test_token_is_renewed_ahead_of_its_end():
    server, time = RotatingServer(), Time()
    client, _keeper, _store = connected(server, time)

    time.passed_s = 1800 - 121
    client.get("/x")
    assert server.refreshes == 0
    time.passed_s = 1800 - 119
    client.get("/x")
    assert server.refreshes == 1


class CountingStore(MemoryTokenStore):
    """A store that counts how often it is asked."""

    loads = 0

    def load(self) -> TokenSet | None:
        self.loads += 1
        return super().load()


def test_a_live_token_is_read_from_the_store_once():
    server, time = RotatingServer(), Time()
    client, keeper, store = connected(server, time)
    keeper.store = counting = CountingStore(store.load())

    for _ in range(3):
        assert run_together(8, lambda: client.get_json("/x")) == []

    assert server.refreshes == 0
    assert counting.loads == 1


def test_a_token_that_one_thread_renewed_costs_the_others_no_look():
    server, time = RotatingServer(slow_s=0.02), Time()
    client, keeper, store = connected(server, time)
    client.get_json("/x")
    server.number += 1
    store.save(TokenSet("access-0", "refresh-1"))
    keeper.store = counting = CountingStore(store.load())

    assert run_together(50, lambda: client.get_json("/x")) == []

    assert server.refreshes == 1
    assert counting.loads == 1


def test_a_token_replaced_by_another_worker_is_read_again_not_renewed():
    server, time = RotatingServer(), Time()
    client, keeper, store = connected(server, time)
    client.get_json("/x")
    other = TokenKeeper(store=store, grant=keeper.grant, now=time.now)

    other.renew("access-0")
    assert client.get_json("/x") == {"ok": True}

    assert server.refreshes == 1
    assert keeper.access_token() == "access-1"


def test_short_lives_are_not_renewed_at_every_call():
    tokens = TokenSet("a", expires_at=START + timedelta(seconds=60), issued_at=START)

    assert tokens.is_fresh(START + timedelta(seconds=40))
    assert not tokens.is_fresh(START + timedelta(seconds=50))


def test_lost_answer_leaves_a_note_and_a_clear_sentence():
    server, time = RotatingServer(), Time()
    client, _keeper, store = connected(server, time, expires_in_s=-1)
    server.lose_answer = True

    with pytest.raises(TransientError):
        client.get("/x")
    assert store.was_spent("refresh-0")

    with pytest.raises(AuthenticationError, match="was interrupted") as caught:
        client.get("/x")
    assert caught.value.code == "refresh_token_lost"


def test_note_is_dropped_by_new_tokens():
    server, time = RotatingServer(), Time()
    client, _keeper, store = connected(server, time, expires_in_s=-1)

    client.get("/x")

    assert not store.was_spent("refresh-0")
    assert not store.was_spent("refresh-1")
    assert not store.was_spent("")


def test_revoked_access_is_said_plainly():
    server, time = RotatingServer(), Time()
    client, _keeper, store = connected(server, time)
    store.save(TokenSet("access-ended", "refresh-ended"))

    with pytest.raises(AuthenticationError, match="has ended this access") as caught:
        client.get("/x")
    assert caught.value.code == "authentication_failed"


def test_a_first_token_is_granted_when_there_is_none():
    store = MemoryTokenStore()
    asked = []

    def grant(current: TokenSet | None) -> TokenSet:
        asked.append(current)
        return TokenSet("access-1")

    keeper = TokenKeeper(store=store, grant=grant, now=lambda: START)

    assert [keeper.access_token() for _ in range(3)] == ["access-1"] * 3
    assert asked == [None]


def test_a_stored_refresh_token_alone_is_enough():
    store = MemoryTokenStore(TokenSet("", "refresh-0"))
    keeper = TokenKeeper(
        store=store, grant=lambda _current: TokenSet("access-1"), now=lambda: START
    )

    assert keeper.access_token() == "access-1"


@given(life_s=st.integers(1, 100_000), age_s=st.integers(0, 100_000))
def test_fresh_means_some_life_is_left(life_s, age_s):
    tokens = TokenSet(
        "a", expires_at=START + timedelta(seconds=life_s), issued_at=START
    )

    if tokens.is_fresh(START + timedelta(seconds=age_s)):
        assert age_s < life_s
    elif age_s < life_s:
        assert life_s - age_s <= max(1, life_s / 5)
