"""Facts as columns: what a query says, bit for bit, whoever stands in which row."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import connection

from analytics import facts
from analytics.facts.reading import read, read_days
from churnguard.models import Customer, CustomerSource, Organization
from tests.analytics.predict import company

pytestmark = pytest.mark.django_db


def test_columns_say_what_the_query_said() -> None:
    sql = (
        "SELECT * FROM (VALUES (9007199254740991::bigint, 0.1::numeric, true::int), "
        "(NULL, -7.25, NULL), (3, NULL, 0)) x (whole, part, flag) WHERE %(all)s"
    )
    with connection.cursor() as cur:
        found = read(cur.cursor, sql, {"all": True}, ("whole", "part", "flag"))
        none = read(cur.cursor, sql, {"all": False}, ("whole", "part", "flag"))

    np.testing.assert_array_equal(found["whole"], [9007199254740991, np.nan, 3])
    np.testing.assert_array_equal(found["part"], [0.1, -7.25, np.nan])
    np.testing.assert_array_equal(found["flag"], [1, np.nan, 0])
    assert [len(column) for column in none.values()] == [0, 0, 0]


def test_days_are_read_with_their_columns() -> None:
    sql = (
        "SELECT n AS row, ARRAY[n, -1, 2147483647] AS days "
        "FROM generate_series(4, {}) n"
    )
    with connection.cursor() as cur:
        found, days = read_days(cur.cursor, sql.format(5), {}, ("row",), 3)
        none, no_days = read_days(cur.cursor, sql.format(3), {}, ("row",), 3)

    assert found["row"].tolist() == [4.0, 5.0]
    assert days.tolist() == [[4, -1, 2147483647], [5, -1, 2147483647]]
    assert (len(none["row"]), no_days.shape) == (0, (0, 3))


def test_a_customer_has_the_same_facts_in_any_row(org: Organization) -> None:
    company.build(org, accounts=12)
    ids = list(Customer.objects.filter(organization=org).values_list("pk", flat=True))
    # One customer known by two sources' identities, one by none.
    CustomerSource.objects.filter(customer_id=ids[0]).update(customer_id=ids[1])
    mixed = ids[::2][::-1] + ids[1::2]
    with connection.cursor() as wrapper:
        cur = wrapper.cursor
        together = facts.gather(cur, org.pk, mixed, company.NOW, "UTC")
        for row, customer_id in enumerate(mixed):
            alone = facts.gather(cur, org.pk, [customer_id], company.NOW, "UTC")
            for name in (
                "values",
                "fact_a",
                "fact_b",
                "fact_at",
                "age_days",
                "ordinary",
                "capped",
            ):
                np.testing.assert_array_equal(
                    getattr(together, name)[row], getattr(alone, name)[0], name
                )

    of_nobody = mixed.index(ids[0])
    assert np.isnan(together.values[of_nobody]).all()
    known = ~np.isnan(together.values)
    assert known.any(axis=1).sum() == len(ids) - 1
