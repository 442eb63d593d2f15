"""A small company with a trained model, made once a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from analytics.predict import jobs
from analytics.predict.models import ModelVersion
from churnguard.models import Organization
from tests.analytics.predict import company


@pytest.fixture(scope="module")
def trained(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Organization]:
    """A company of 90 accounts with a champion; committed, removed at the end."""
    with django_db_blocker.unblock():
        organization = Organization.objects.create(name="Trained")
        company.build(organization, accounts=90)
        jobs.train_now(organization, company.NOW)
    yield organization
    with django_db_blocker.unblock():
        organization.delete()
        with connection.cursor() as cur:
            cur.execute("TRUNCATE cg_usage_event, cg_event_key")


@pytest.fixture
def model(db: None, org: Organization) -> ModelVersion:
    """The champion of `org`, which the module takes from `trained`."""
    return ModelVersion.objects.get(organization=org, state="champion")
