"""A small company with a trained model, made once a module and learned once a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from analytics.predict import labels, scoring, snapshots, store, training
from analytics.predict.models import ModelVersion
from churnguard.models import Organization
from tests.analytics.predict import company


@pytest.fixture(scope="session")
def learned() -> dict[str, training.Trained]:
    """What `trained` learned, for the next module: the company is always the same."""
    return {}


@pytest.fixture(scope="module")
def trained(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    learned: dict[str, training.Trained],
) -> Iterator[Organization]:
    """A company of 60 accounts with a champion; committed, removed at the end."""
    with django_db_blocker.unblock():
        organization = Organization.objects.create(name="Trained")
        company.build(organization, accounts=60)
        with connection.cursor() as wrapper:
            cur = wrapper.cursor
            label = labels.active_label(cur, organization.pk)
            if "made" not in learned:
                clock = snapshots.get_clock(cur, organization.pk, company.NOW)
                cohorts = snapshots.load_cohorts(cur, organization.pk, label, clock)
                learned["made"] = training.train(cohorts, label)
        champion = store.keep(organization, label, learned["made"], company.NOW)
        scoring.score_organization(champion, company.NOW)
    yield organization
    with django_db_blocker.unblock():
        organization.delete()
        with connection.cursor() as cur:
            cur.execute("TRUNCATE cg_usage_event, cg_event_key")


@pytest.fixture
def model(db: None, org: Organization) -> ModelVersion:
    """The champion of `org`, which the module takes from `trained`."""
    return ModelVersion.objects.get(organization=org, state="champion")
