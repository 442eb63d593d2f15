"""The data quality pages on the exports of the sample company, and on nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from churnguard import sample
from integrations import catalog, connecting, mappings, registry, runs
from integrations.models import StreamState
from monitoring.models import QualityDay
from monitoring.quality import daily
from tests.browser.conftest import photograph

pytestmark = pytest.mark.browser

Check = Callable[..., None]


@pytest.fixture
def measured(transactional_db: None, org: Any, tmp_path: Path) -> Any:
    company = sample.generate(7, datetime.now(UTC))
    files, specs = company.write_files(tmp_path), company.mappings()
    for name in (sample.CRM, sample.BILLING, sample.SUPPORT):
        own = [path.name for path in files if path.parent.name == name]
        streams = {file.split(".")[0]: file for file in own}
        integration = registry.create(
            org,
            {
                "integration_id": name,
                "integration_name": name.capitalize(),
                "provider_name": "file",
                "settings": {"path": str(tmp_path / name)},
                "entity_mappings": {
                    stream: specs[file]["record_type"]
                    for stream, file in streams.items()
                },
                "sync_config": {"sync_frequency": 3600},
            },
            by="test",
            trusted_root=tmp_path,
        )
        catalog.keep_streams(integration, connecting.discover(integration))
        for state in StreamState.objects.filter(integration=integration):
            mappings.save(state, specs[streams[state.name]], note="Sample", by="test")
        run = runs.start(integration, mode="full")
        while runs.run_now(run.pk):
            pass
    daily.measure_now(org, datetime.now(UTC))
    return org


def test_quality_is_accessible_and_leads_to_the_rows(
    page: Page,
    signed_in: Callable[[Any], str],
    alice: Any,
    measured: Any,
    axe: Check,
    reflows: Check,
) -> None:
    home = signed_in(alice)
    page.goto(f"{home}/quality/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Data quality")
    axe(page)
    reflows(page)
    photograph(page, "quality")

    assert QualityDay.objects.filter(organization=measured, entity="").exists()
    page.locator("#failing tbody th a").first.click()
    expect(page.get_by_role("heading", name="Failing rows")).to_be_visible()
    axe(page)
    reflows(page)

    page.goto(f"{home}/quality/?days=90&source=billing")
    page.get_by_label("Lowest score").fill("95")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_label("Lowest score")).to_have_value("95")
    page.get_by_role("button", name="Measure now").click()
    expect(page.get_by_text("A measurement was asked for.")).to_be_visible()


def test_nothing_to_measure_says_so(
    page: Page,
    signed_in: Callable[[Any], str],
    alice: Any,
    axe: Check,
    reflows: Check,
) -> None:
    page.goto(f"{signed_in(alice)}/quality/")
    expect(page.get_by_text("No data to measure yet")).to_be_visible()
    axe(page)
    reflows(page)
