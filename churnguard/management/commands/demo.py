"""The first start: an owner, an organisation, a key, and a living sample company.

Everything the sample holds goes through the front doors: exports by the file
connector, events by the ingest API over HTTP. `--live` keeps posting what the
company's users do now. This is the one module of the kernel that knows the apps above
it, since it is composition, not mechanism.
"""

from __future__ import annotations

import gzip
import json
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from churnguard import sample
from churnguard.auth import create_api_key
from churnguard.models import ApiKey, Membership, Organization, User
from churnguard.runtime import home, web

EMAIL, EMPTY_EMAIL = "owner@larkfield.example", "owner@example.com"
SEED = 7
_BATCH = 5_000
_WAIT_S = 600.0
_LIVE_EVERY_S = 5.0


class Command(BaseCommand):
    help = "Make the sample company (--empty: only owner, organisation and API key)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--empty", action="store_true")
        parser.add_argument(
            "--live", action="store_true", help="post new events until stopped"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["live"]:
            self._live()
            return
        organization = self._organization(is_empty=options["empty"])
        if options["empty"]:
            return
        made_at = datetime.now(UTC).replace(microsecond=0)
        company = sample.generate(SEED, made_at)
        self._keep_truth(organization, company)
        self._load_rates(organization, made_at)
        self._load_files(organization, company)
        self._load_events(company)
        self._wait_for_scores(organization)
        facts = home.read_demo()
        self._save_segments(facts)
        home.write_demo({**facts, "sample": {"made_at": made_at.isoformat()}})

    # --- who ---
    def _organization(self, *, is_empty: bool) -> Organization:
        """The demo organisation with its owner and a fresh key; what a start that was
        cut short had made is used again."""
        password = secrets.token_urlsafe(12)
        email = EMPTY_EMAIL if is_empty else EMAIL
        with transaction.atomic():
            user = User.objects.filter(email=email).first()
            if user is None:
                user = User.objects.create_superuser(email, password)
            else:
                user.set_password(password)
                user.save(update_fields=["password"])
            membership = Membership.objects.filter(user=user).order_by("pk").first()
            name = "My company" if is_empty else sample.VENDOR
            if membership is None:
                organization = Organization.objects.create(name=name)
                Membership.objects.create(
                    organization=organization, user=user, role="owner"
                )
            else:
                organization = membership.organization
            ApiKey.objects.filter(organization=organization, name="First key").delete()
            _, key = create_api_key(
                organization, "First key", ApiKey.SCOPES, created_by=user
            )
        places = web.addresses()
        home.write_demo(
            {
                "dashboard_url": f"{places[0].url}/",
                "ingest_url": f"{places[-1].url}/api/v1/data/ingest/",
                "email": email,
                "password": password,
                "organization_id": organization.public_id,
                "api_key": key,
            }
        )
        return organization

    # --- the truth, for the model page to compare with; no model ever reads it ---
    def _keep_truth(
        self, organization: Organization, company: sample.SampleCompany
    ) -> None:
        # Late: the kernel knows the apps above it here alone.
        from analytics.predict import truth

        truth.keep(organization, company)

    # --- exchange rates, as an admin would set them ---
    def _load_rates(self, organization: Organization, made_at: datetime) -> None:
        # Late: the kernel knows the apps above it here alone.
        from analytics.revenue import changes, rates

        given = rates.parse_rates(
            sample.exchange_rates(made_at), organization.base_currency
        )
        changes.change_rates("system", organization, given, origin="sample")

    # --- the exports, by the file connector ---
    def _load_files(
        self, organization: Organization, company: sample.SampleCompany
    ) -> None:
        # Late: the kernel knows the apps above it here alone.
        from integrations import catalog, connecting, mappings, registry, runs
        from integrations.models import Integration, StreamState, SyncRun

        folder = home.home() / "sample"
        files = company.write_files(folder)
        specs = company.mappings()
        for source in (sample.CRM, sample.BILLING, sample.SUPPORT):
            names = [path.name for path in files if path.parent.name == source]
            streams = {_stem(name): name for name in names}
            integration = Integration.objects.filter(
                organization=organization, public_id=source
            ).first()
            if integration is None:
                integration = registry.create(
                    organization,
                    {
                        "integration_id": source,
                        "integration_name": f"{source.upper()[:3]} exports"
                        if source == sample.CRM
                        else f"{source.capitalize()} exports",
                        "provider_name": "file",
                        "settings": {"path": str(folder / source)},
                        "entity_mappings": {
                            stream: specs[name]["record_type"]
                            for stream, name in streams.items()
                        },
                        "sync_config": {"sync_frequency": 3600, "batch_size": 1000},
                        "tags": ["sample"],
                    },
                    by="system",
                    trusted_root=folder,
                )
                catalog.keep_streams(integration, connecting.discover(integration))
                for state in StreamState.objects.filter(integration=integration):
                    spec = specs[streams[state.name]]
                    mappings.save(state, spec, note="Sample export", by="system")
            if runs.get_active(integration) is None:
                runs.start(integration, trigger="manual", by="system", mode="full")
        self._wait_for_runs(SyncRun, organization)

    def _wait_for_runs(self, model: Any, organization: Organization) -> None:
        ends_at = time.monotonic() + _WAIT_S
        active = model.objects.filter(
            organization=organization, status__in=model.ACTIVE
        )
        while (left := active.count()) and time.monotonic() < ends_at:
            self._say(f"Loading the exports ({self._records()} records so far)")
            time.sleep(1.0)
        if left:
            raise CommandError("The workers did not finish loading the exports.")
        self._say(f"Exports loaded: {self._records()} records")

    def _records(self) -> int:
        with connection.cursor() as cur:
            cur.execute(
                "SELECT coalesce(sum(fetched), 0) FROM cg_batch WHERE origin = 'sync'"
            )
            return int(cur.fetchone()[0])

    # --- the events, by the ingest API ---
    def _load_events(self, company: sample.SampleCompany) -> None:
        facts = home.read_demo()
        accepted = 0
        with httpx.Client(timeout=60, trust_env=False) as client:
            _post(client, facts, company.workspaces())
            for chunk in _chunks(company.events(), _BATCH):
                accepted += _post(client, facts, chunk)["accepted"]
                self._say(f"Sending product events ({accepted} accepted)")

    def _wait_for_scores(self, organization: Organization) -> None:
        ends_at = time.monotonic() + _WAIT_S
        while time.monotonic() < ends_at:
            with connection.cursor() as cur:
                cur.execute(
                    "SELECT (SELECT count(*) FROM cg_batch WHERE events > 0 "
                    "  AND folded_at IS NULL), "
                    "(SELECT count(*) FROM cg_customer_source "
                    "  WHERE identity_stale_at IS NOT NULL), "
                    "(SELECT count(*) FROM cg_customer WHERE organization_id = %(o)s "
                    "  AND score_stale_at IS NOT NULL AND merged_into_id IS NULL), "
                    "(SELECT count(*) FROM cg_customer WHERE organization_id = %(o)s "
                    "  AND score IS NOT NULL AND merged_into_id IS NULL)",
                    {"o": organization.pk},
                )
                unfolded, unlinked, stale, scored = cur.fetchone()
            if not unfolded and not unlinked and not stale:
                self._say(f"{scored} accounts scored")
                return
            self._say(f"Scoring ({scored} accounts so far)")
            time.sleep(1.0)
        raise CommandError("The workers did not finish scoring.")

    # --- saved filters, by the API ---
    def _save_segments(self, facts: dict[str, Any]) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            for segment in sample.SEGMENTS:
                answer = client.post(
                    f"{facts['dashboard_url']}api/v1/analytics/segments",
                    json=segment,
                    headers={"Authorization": f"Bearer {facts['api_key']}"},
                )
                # A start that was cut short may have saved it already.
                if answer.status_code != 201 and "name_taken" not in answer.text:
                    raise CommandError(
                        f"The segment {segment['name']!r} was not saved: "
                        f"{answer.status_code} {answer.text[:300]}"
                    )

    # --- afterwards ---
    def _live(self) -> None:
        """Post what the company's users do now, for as long as this process runs."""
        while True:
            facts = home.read_demo()
            made_at = (facts.get("sample") or {}).get("made_at")
            if made_at:
                since = datetime.fromisoformat(made_at)
                with httpx.Client(timeout=30, trust_env=False) as client:
                    self._trickle(client, facts, since)
            time.sleep(_LIVE_EVERY_S)

    def _trickle(
        self, client: httpx.Client, facts: dict[str, Any], made_at: datetime
    ) -> None:
        while True:
            # Windows overlap; events that repeat are duplicates to the door.
            events = list(
                sample.live_events(
                    SEED, datetime.now(UTC), made_at=made_at, window_s=30.0
                )
            )
            try:
                if events:
                    _post(client, facts, events)
            except (httpx.HTTPError, CommandError) as exc:
                sys.stderr.write(f"No events sent: {exc}\n")
                return
            time.sleep(_LIVE_EVERY_S)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _post(
    client: httpx.Client, facts: dict[str, Any], records: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """Send records as gzip NDJSON; waits out a 503 or 429. Raises CommandError."""
    body = gzip.compress(
        b"".join(
            json.dumps(record, default=str).encode() + b"\n" for record in records
        ),
        compresslevel=1,
    )
    for _ in range(30):
        answer = client.post(
            f"{facts['ingest_url']}{sample.PRODUCT}",
            content=body,
            headers={
                "Authorization": f"Bearer {facts['api_key']}",
                "Content-Type": "application/x-ndjson",
                "Content-Encoding": "gzip",
            },
        )
        if answer.status_code == 202:
            found: dict[str, Any] = answer.json()
            return found
        if answer.status_code not in (429, 503):
            break
        time.sleep(float(answer.headers.get("Retry-After", "1")))
    raise CommandError(
        f"The ingest API answered {answer.status_code}: {answer.text[:300]}"
    )


def _chunks(
    items: Iterable[dict[str, Any]], size: int
) -> Iterator[list[dict[str, Any]]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def _stem(name: str) -> str:
    """The stream a file becomes: its name without any ending."""
    return Path(name).name.split(".", 1)[0]
