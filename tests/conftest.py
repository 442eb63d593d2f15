"""Fixtures of every test: three users, one organisation, and a closed network."""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis
from pytest_django.plugin import DjangoDbBlocker

from tests import servers

if TYPE_CHECKING:
    from rest_framework.test import APIClient

    from churnguard.models import Organization, User
    from tests.log_contract import LogContract


_MANY_ROWS = 2_000
_FAST = "not slow and not bench"


class NetworkBlockedError(RuntimeError):
    """A test tried to leave this machine."""


def pytest_configure(config: pytest.Config) -> None:
    """Leave slow tests and benches to those who ask for them by -m or by `::` name."""
    by_name = any("::" in arg for arg in config.args)
    if not config.getoption("-m") and not by_name:
        config.option.markexpr = _FAST


def pytest_collection(session: pytest.Session) -> None:
    """Choose how many examples property tests draw, before their modules are read."""
    from hypothesis import settings

    from tests import examples

    is_fast = session.config.option.markexpr == _FAST
    settings.load_profile(examples.FAST if is_fast else examples.SLOW)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Property tests are in both lanes."""
    from hypothesis import is_hypothesis_test

    is_slow_lane = item.config.option.markexpr == "slow"
    if is_slow_lane and is_hypothesis_test(getattr(item, "obj", None)):
        item.add_marker("slow")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put browser tests last; skip them where there is no browser, and say so.

    Last, because Playwright leaves an event loop running in the main thread, in which
    no later test could start one of its own.
    """
    items.sort(key=_in_browser)
    if chromium_path() is not None:
        return
    reason = "no Chromium on this machine (apt-get install chromium, or set CHROMIUM)"
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Full collections, an eighth of the whole run, may be rare."""
    _keep_what_is_loaded()
    gc.set_threshold(700, 10, 50)


def _keep_what_is_loaded() -> None:
    """It stays to the end, so the collector need not walk through it again."""
    gc.collect()
    gc.freeze()


def _in_browser(item: pytest.Item) -> bool:
    return item.get_closest_marker("browser") is not None


def pytest_unconfigure() -> None:
    servers.stop()


def chromium_path() -> str | None:
    """The Chromium to drive: CHROMIUM, else the one on PATH."""
    configured = os.environ.get("CHROMIUM", "")
    if configured:
        return configured if os.access(configured, os.X_OK) else None
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(autouse=True, scope="session")
def closed_network() -> Iterator[None]:
    """Only this machine can be reached; anything else fails loudly."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    lookup = socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _require_local(self.family, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _require_local(self.family, address)
        return connect_ex(self, address)

    def guarded_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in {None, "", "localhost"} and not _is_address(name):
            raise NetworkBlockedError(f"A test looked up {name}.")
        return lookup(host, *args, **kwargs)

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    patch.setattr(socket, "getaddrinfo", guarded_lookup)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def log_contract() -> Iterator[LogContract]:
    """Every line logged during a test keeps the schema of structured logs."""
    from churnguard import logs
    from tests.log_contract import LogContract

    logs.clear()
    handler = LogContract()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    assert handler.faults == []


@pytest.fixture(scope="session")
def bus_and_cache() -> Iterator[list[redis.Redis]]:
    """Connections that stay open; making two for each test takes longer than using
    them."""
    made = [
        redis.Redis.from_url(os.environ[name], socket_timeout=5)
        for name in ("REDIS_URL", "CACHE_URL")
    ]
    yield made
    for client in made:
        client.close()


@pytest.fixture(autouse=True)
def empty_redis(bus_and_cache: list[redis.Redis]) -> None:
    """Each test starts with an empty bus and an empty cache."""
    for client in bus_and_cache:
        client.flushall()


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> None:
    """The test database. pytest-django's own fixture makes none where no test asks for
    rows by its marks; some commit rows by fixtures of ours alone. It is not dropped:
    the servers are made anew for each run."""
    from django.test.utils import setup_databases

    with django_db_blocker.unblock():
        setup_databases(verbosity=0, interactive=False, serialized_aliases=set())
    _keep_what_is_loaded()


@pytest.fixture(autouse=True, scope="session")
def quick_emptying() -> Iterator[None]:
    """A test that commits is cleaned up by DELETE.

    Django's own way, TRUNCATE of every table and making content types and permissions
    again, takes longer than most tests; and it leaves out the event tables, which are
    made by SQL.
    """
    from django.db import connection
    from django.test import TransactionTestCase

    kept = {"django_migrations", "django_content_type", "auth_permission"}
    # A test may have broken Django's own connection, so this one is apart from it. It
    # stays open: a new one has to learn all tables again.
    cleaner: list[psycopg.Connection[Any]] = []

    def empty(self: TransactionTestCase) -> None:
        names = connection.introspection.django_table_names(
            only_existing=True, include_views=False
        )
        tables = sorted({*names, "cg_usage_event", "cg_event_key"} - kept)
        given = connection.get_connection_params()
        connection.close()
        if not cleaner or not _is_alive(cleaner[0]):
            where = {key: given[key] for key in ("host", "user", "dbname")}
            cleaner[:] = [psycopg.connect(**where, autocommit=True)]
            cleaner[0].execute("SET session_replication_role = replica")
        cursor = cleaner[0].execute("; ".join(f'DELETE FROM "{n}"' for n in tables))
        for name in tables:
            if cursor.rowcount > _MANY_ROWS:
                # Dead rows in this number would slow down every test after it.
                cleaner[0].execute(f'TRUNCATE "{name}" CASCADE')
            cursor.nextset()

    patch = pytest.MonkeyPatch()
    patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
    yield
    patch.undo()
    for conn in cleaner:
        conn.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the data sets: CHURNGUARD_SHARED, else `../shared`."""
    checkout = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("CHURNGUARD_SHARED", checkout.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no data sets in {folder} (set CHURNGUARD_SHARED)")
    return folder


@pytest.fixture
def org(db: None) -> Organization:
    """The organisation of alice and bob."""
    from churnguard.models import Organization

    return Organization.objects.create(name="Acme")


@pytest.fixture
def member(org: Organization) -> Callable[..., User]:
    """`member("viewer")` -> a new user with that role in `org` (or `in_org=`)."""
    from churnguard.models import Membership, User

    def make(
        role: str, *, email: str | None = None, in_org: Organization | None = None
    ) -> User:
        number = User.objects.count() + 1
        user = User.objects.create_user(email or f"{role}{number}@example.com", "pw")
        Membership.objects.create(organization=in_org or org, user=user, role=role)
        return user

    return make


@pytest.fixture
def alice(member: Callable[..., User]) -> User:
    """The owner of `org`."""
    return member("owner", email="alice@example.com")


@pytest.fixture
def bob(member: Callable[..., User]) -> User:
    """A viewer in `org`."""
    return member("viewer", email="bob@example.com")


@pytest.fixture
def other_org(db: None) -> Organization:
    """The organisation of charlie."""
    from churnguard.models import Organization

    return Organization.objects.create(name="Stranger Inc")


@pytest.fixture
def charlie(member: Callable[..., User], other_org: Organization) -> User:
    """The owner of another organisation: a stranger to `org`."""
    return member("owner", email="charlie@example.com", in_org=other_org)


@pytest.fixture
def api() -> Callable[..., APIClient]:
    """`api(alice)` signed in, `api(key="cg_..")` with a key, `api()` as nobody."""
    from rest_framework.test import APIClient

    def make(user: User | None = None, *, key: str | None = None) -> APIClient:
        client = APIClient()
        if user is not None:
            client.force_login(user)
        if key is not None:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
        return client

    return make


def _is_alive(conn: psycopg.Connection[Any]) -> bool:
    try:
        conn.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _require_local(family: int, address: Any) -> None:
    if family == socket.AF_UNIX:
        return
    host = address[0] if isinstance(address, tuple) else address
    if host in {"", "localhost"} or _is_loopback(host):
        return
    raise NetworkBlockedError(f"A test tried to connect to {host}.")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback
