"""Stripe's connector against localstripe, an implementation of Stripe by other people.

Optional: `pip install -r requirements/localstripe.txt` (its own environment will do;
then name its program in LOCALSTRIPE).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from django.conf import LazySettings

from churnguard.models import (
    CustomerSource,
    Invoice,
    Organization,
    Source,
    SourceObject,
)
from integrations import catalog, connecting, credentials, runs
from integrations.connectors.stripe.kinds import KINDS
from integrations.models import Integration, RunStream

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
KEY = "sk_test_12345"
STREAMS = ["customers", "products", "invoices"]
"""It has no prices and disputes, its subscriptions no list of discounts, its invoices
no payments, and its events no types: full reads of the rest."""


class LocalStripe:
    """The server, and what an application would ask of it."""

    def __init__(self, program: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [program, "--port", str(self.port), "--from-scratch"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ends_at = time.monotonic() + 30
        while True:
            try:
                self.call("GET", "customers")
                return
            except (URLError, ConnectionError):
                assert time.monotonic() < ends_at
                time.sleep(0.1)

    def call(self, method: str, path: str, **fields: Any) -> Any:
        data = urlencode(fields).encode() if fields else None
        token = base64.b64encode(f"{KEY}:".encode()).decode()
        request = Request(f"{self.url}/v1/{path}", data=data, method=method)
        request.add_header("Authorization", f"Basic {token}")
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@pytest.fixture
def local() -> Iterator[LocalStripe]:
    beside = str(Path(sys.executable).with_name("localstripe"))
    program = os.environ.get("LOCALSTRIPE") or shutil.which(
        "localstripe", path=f"{Path(beside).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if not program:
        pytest.skip(
            "localstripe is not installed (pip install -r requirements/localstripe.txt)"
        )
    server = LocalStripe(program)
    yield server
    server.stop()


@pytest.fixture
def integration(
    org: Organization,
    local: LocalStripe,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Integration:
    monkeypatch.setitem(KINDS, "invoices", replace(KINDS["invoices"], expand=()))
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1"]
    made = Integration.objects.create(
        organization=org,
        name="stripe",
        provider_name="stripe",
        integration_type="payment",
        source=Source.objects.create(organization=org, name="stripe_local"),
        status="active",
        base_url=local.url,
        batch_size=10,
        retry_backoff=0,
        retry_attempts=0,
    )
    credentials.save(made, {"api_key": KEY})
    catalog.keep_streams(made, connecting.discover(made))
    return made


def sync(integration: Integration) -> dict[str, RunStream]:
    run = runs.start(integration, mode="full", streams=STREAMS)
    assert runs.run_now(run.pk)
    run.refresh_from_db()
    parts = {part.stream: part for part in RunStream.objects.filter(run=run)}
    told = {name: part.error_detail for name, part in parts.items()}
    assert run.status == "completed", told
    return parts


def test_a_shop_is_read_whole_again_and_again(
    local: LocalStripe, integration: Integration
) -> None:
    product = local.call("POST", "products", name="Pro", type="service")
    plan = local.call(
        "POST",
        "plans",
        id="pro",
        product=product["id"],
        amount=2500,
        currency="eur",
        interval="month",
    )
    customers = [
        local.call("POST", "customers", name=f"Shop {n}", email=f"s{n}@shop.example")
        for n in range(25)
    ]
    for each in customers[:3]:
        card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2031}
        card["cvc"] = "123"
        token = local.call(
            "POST", "tokens", **{f"card[{k}]": v for k, v in card.items()}
        )
        local.call("POST", f"customers/{each['id']}/sources", source=token["id"])
        local.call(
            "POST",
            "subscriptions",
            **{"customer": each["id"], "items[0][plan]": plan["id"]},
        )

    parts = sync(integration)

    assert parts["customers"].inserted == 25
    stored = CustomerSource.objects.get(external_id=customers[7]["id"])
    assert (stored.name, stored.email) == ("Shop 7", "s7@shop.example")
    assert Invoice.objects.filter(status="paid").count() == 3
    assert SourceObject.objects.filter(kind="products").count() == 1
    again = sync(integration)
    assert sum(p.inserted + p.updated for p in again.values()) == 0

    local.call("POST", f"customers/{customers[7]['id']}", name="Shop Seven")
    local.call("DELETE", f"customers/{customers[8]['id']}")
    sync(integration)

    stored.refresh_from_db()
    assert stored.name == "Shop Seven"
    assert CustomerSource.objects.get(external_id=customers[8]["id"]).deleted_at
    assert CustomerSource.objects.filter(deleted_at=None, is_stub=False).count() == 24
