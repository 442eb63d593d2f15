"""Coming back from a provider's sign-in, and giving the access back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from churnguard.errors import ConfigError
from churnguard.models import AuditEntry, Membership, Organization, Schedule, User
from integrations import connect, connectors, credentials, oauth, registry, runs
from integrations.models import Integration, OAuthState
from tests.fakes.server import FakeServer, Request, Response, serving
from tests.integrations.sync import scripted

pytestmark = pytest.mark.django_db(transaction=True)
BACK = "https://cg.example/integrations/oauth/callback/"


class TokenServer:
    """Gives tokens for each code once, and takes them back."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def handle(self, request: Request) -> Response:
        if request.path == "/revoke":
            return Response(200)
        code = request.form()["code"]
        if code in self.used:
            return Response(400, {"error": "invalid_grant"})
        self.used.add(code)
        return Response(
            200,
            {
                "access_token": f"access-of-{code}",
                "refresh_token": f"refresh-of-{code}",
                "expires_in": 3600,
            },
        )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[FakeServer]:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1"]
    monkeypatch.setitem(
        connectors.REGISTRY, "scripted", f"{scripted.__name__}:ScriptedConnector"
    )
    with serving(TokenServer()) as running:  # type: ignore[arg-type]
        app = oauth.OAuthApp(
            client_id="app",
            client_secret="app-secret",
            authorize_url="https://login.example/authorize",
            token_url=f"{running.url}/token",
            revoke_url=f"{running.url}/revoke",
        )
        monkeypatch.setattr(
            scripted.ScriptedConnector,
            "oauth_app",
            classmethod(lambda cls, settings, secrets: app),
        )
        yield running


@pytest.fixture
def waiting(server: FakeServer, org: Organization) -> Integration:
    """An integration whose access has ended."""
    made = registry.create(
        org, {"integration_id": "crm", "provider_name": "scripted"}, by="test"
    )
    Integration.objects.update(status="authentication_failed")
    return made


Press = Callable[[], str]


@pytest.fixture
def press(waiting: Integration, alice: User) -> Press:
    """`press()`: alice presses Connect; gives the state her browser takes along."""

    def begin() -> str:
        url = connect.begin(waiting, user=alice, redirect_uri=BACK)
        return parse_qs(urlsplit(url).query)["state"][0]

    return begin


def come_back(client: Client, **query: str) -> str:
    """What the callback says; it is shown on the next page."""
    answer = client.get("/integrations/oauth/callback/", query)
    assert answer.status_code == 302
    return str([*get_messages(answer.wsgi_request)][-1])


def status() -> str:
    return Integration.objects.get().status


def test_an_access_that_was_granted_is_stored_and_audited(
    pages: Client, press: Press, waiting: Integration
) -> None:
    told = come_back(pages, state=press(), code="c1")

    assert told == "Scripted is connected."
    assert status() == "active"
    assert credentials.load(waiting)["refresh_token"] == "refresh-of-c1"
    entry = AuditEntry.objects.get(action="integration.connected")
    assert (entry.actor, entry.target_id) == ("alice@example.com", "crm")


def test_a_refusal_at_the_provider_is_told_and_ends_the_attempt(
    pages: Client, press: Press, server: FakeServer
) -> None:
    state = press()

    told = come_back(
        pages,
        state=state,
        error="access_denied",
        error_description="The user <b>denied</b> it",
    )

    assert "was not connected" in told
    assert "The user <b>denied</b> it" in told
    shown = pages.get("/integrations/").content.decode()
    assert "&lt;b&gt;denied&lt;/b&gt;" in shown
    assert "<b>denied</b>" not in shown
    assert "used already" in come_back(pages, state=state, code="c1")
    assert (status(), server.count("/token")) == ("authentication_failed", 0)


def test_a_callback_without_a_code_is_no_grant(pages: Client, press: Press) -> None:
    assert "“no code”" in come_back(pages, state=press())
    assert status() == "authentication_failed"


def test_an_attempt_that_took_too_long_is_made_anew(
    pages: Client, press: Press, server: FakeServer
) -> None:
    state = press()
    OAuthState.objects.update(expires_at=datetime.now(UTC))

    assert "too old" in come_back(pages, state=state, code="c1")
    assert server.count("/token") == 0
    assert come_back(pages, state=press(), code="c1") == "Scripted is connected."


@pytest.mark.parametrize("state", ["", "made-up"])
def test_a_made_up_state_is_refused(
    pages: Client, press: Press, server: FakeServer, state: str
) -> None:
    press()

    assert "unknown" in come_back(pages, state=state, code="c1")
    assert server.count("/token") == 0


def test_a_callback_reloaded_changes_nothing(
    pages: Client, press: Press, server: FakeServer
) -> None:
    state = press()
    come_back(pages, state=state, code="c1")

    assert "used already" in come_back(pages, state=state, code="c1")
    assert (status(), server.count("/token")) == ("active", 1)


def test_a_code_used_before_asks_to_connect_again(
    pages: Client, press: Press, waiting: Integration
) -> None:
    come_back(pages, state=press(), code="c1")
    Integration.objects.update(status="authentication_failed")

    told = come_back(pages, state=press(), code="c1")

    assert "connect again" in told
    assert status() == "authentication_failed"
    assert credentials.load(waiting)["access_token"] == "access-of-c1"


def test_a_provider_that_is_down_is_no_refusal(
    pages: Client, press: Press, server: FakeServer
) -> None:
    server.fail("reply", "/token", response=Response(503), times=9)

    told = come_back(pages, state=press(), code="c1")

    assert "should work again later" in told
    assert (status(), server.count("/token")) == ("authentication_failed", 1)


def test_a_paused_integration_stays_paused(
    pages: Client, press: Press, waiting: Integration
) -> None:
    Integration.objects.update(status="paused")

    come_back(pages, state=press(), code="c1")

    assert status() == "paused"
    assert credentials.load(waiting)["access_token"] == "access-of-c1"


def test_somebody_else_cannot_finish_it(
    signed: Callable[[User], Client],
    press: Press,
    member: Callable[..., User],
    server: FakeServer,
) -> None:
    state = press()
    colleague = signed(member("admin"))

    assert "unknown" in come_back(colleague, state=state, code="c1")
    assert server.count("/token") == 0


def test_an_admin_elsewhere_cannot_finish_what_he_may_not_begin(
    signed: Callable[[User], Client],
    press: Press,
    alice: User,
    other_org: Organization,
    server: FakeServer,
) -> None:
    state = press()
    Membership.objects.filter(user=alice).delete()
    Membership.objects.create(user=alice, organization=other_org, role="owner")

    assert "unknown" in come_back(signed(alice), state=state, code="c1")
    assert server.count("/token") == 0


def give_back(client: Client) -> Any:
    return client.post("/api/integrations/crm/revoke").json()


def test_access_that_is_given_back_ends_here_and_there(
    pages: Client, press: Press, waiting: Integration, server: FakeServer
) -> None:
    registry.update(waiting, {"sync_config": {"sync_frequency": 3600}}, by="test")
    come_back(pages, state=press(), code="c1")
    assert Schedule.objects.get(kind="sync").is_enabled

    assert give_back(pages) == {"confirmed": True}

    (call,) = [call for call in server.calls if call.path == "/revoke"]
    assert call.form()["token"] == "refresh-of-c1"
    assert credentials.load(waiting).keys() & {"access_token", "refresh_token"} == set()
    waiting.refresh_from_db()
    assert (waiting.status, waiting.status_detail) == (
        "inactive",
        "The access was given back.",
    )
    assert not Schedule.objects.filter(kind="sync", is_enabled=True).exists()
    with pytest.raises(ConfigError, match="given back"):
        runs.start(waiting)
    entry = AuditEntry.objects.get(action="integration.revoked")
    assert (entry.actor, entry.after) == ("alice@example.com", {"confirmed": True})
    assert come_back(pages, state=press(), code="c2") == "Scripted is connected."
    assert status() == "active"


def test_access_is_forgotten_though_the_provider_is_down(
    pages: Client, press: Press, waiting: Integration, server: FakeServer
) -> None:
    come_back(pages, state=press(), code="c1")
    server.fail("reply", "/revoke", response=Response(400, {"error": "no"}), times=9)

    assert give_back(pages) == {"confirmed": False}
    assert "refresh_token" not in credentials.load(waiting)
