"""The pages of segments without scripts: every button posts the whole form."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from analytics.segments import daily
from analytics.segments.builder import from_definition
from analytics.segments.models import Segment
from analytics.segments.tree import parse
from churnguard.models import AuditEntry, Customer, Organization, User

LOW_PRO = {
    "and": [
        {"field": "plan", "op": "=", "value": "Pro"},
        {"field": "score", "op": "<", "value": 40},
    ]
}


class Form(HTMLParser):
    """What a browser would send of the form with the id segment-form."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.errors: list[str] = []
        self._select = self._area = ""
        self._first: str | None = None
        self._in_form = self._in_errors = False
        self.feed(html)

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attrs = {name: value or "" for name, value in given}
        name, value = attrs.get("name", ""), attrs.get("value", "")
        if tag == "form":
            self._in_form = attrs.get("id") == "segment-form"
        if tag == "ul" and attrs.get("class") == "errors":
            self._in_errors = True
        if not self._in_form:
            return
        is_off = attrs.get("type") == "checkbox" and "checked" not in attrs
        if tag == "input" and name and not is_off:
            self.values.setdefault(name, []).append(value)
        elif tag == "select":
            self._select, self._first = name, None
        elif tag == "option" and self._select:
            if self._first is None or "selected" in attrs:
                self._first = value
        elif tag == "textarea":
            self._area = name
            self.values[name] = [""]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._in_form = False
        elif tag == "ul":
            self._in_errors = False
        elif tag == "select" and self._select:
            self.values[self._select] = [self._first or ""]
            self._select = ""
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area][0] += data
        if self._in_errors and data.strip():
            self.errors.append(data.strip())


def press(client: Client, path: str, form: Form, do: str, **changes: Any) -> Any:
    """Send the form with some values changed, by the button `do`."""
    names = {name.replace("__", "."): value for name, value in changes.items()}
    answer = client.post(path, {**form.values, **names, "do": do})
    answer.form = Form(answer.content.decode())
    return answer


@pytest.fixture
def people(org: Organization) -> None:
    for name, plan, score in (("Ann", "Pro", 30), ("Bert", "Pro", 80), ("Cy", "", 20)):
        Customer.objects.create(organization=org, name=name, plan=plan, score=score)


@pytest.fixture
def segment(org: Organization, people: None) -> Segment:
    made = Segment.objects.create(
        organization=org,
        name="Low pro",
        slug="low-pro",
        definition=LOW_PRO,
        created_by="x",
    )
    daily.tick()
    return made


def test_a_segment_is_built_step_by_step(
    client: Client, alice: User, people: None
) -> None:
    client.force_login(alice)
    path = "/segments/new/"
    page = Form(client.get(path).content.decode())

    page = press(client, path, page, "add:0", name="Low pro", g0__add="plan").form
    page = press(client, path, page, "add:0", g0__0__value="Pro", g0__add="score").form
    assert page.values["g0.1.op"] == [">="]
    counted = press(
        client, path, page, "preview", g0__1__op="<", g0__1__value="40"
    )  # fmt: skip
    assert "1 account found" in counted.content.decode()
    assert "Plan is Pro and Health score below 40" in counted.content.decode()
    assert not Segment.objects.exists()
    saved = press(client, path, counted.form, "save")

    assert (saved.status_code, saved.url) == (302, "/segments/low-pro/")
    assert Segment.objects.get().definition == LOW_PRO
    assert AuditEntry.objects.get(action="segment.created").actor == alice.email
    detail = client.get("/segments/low-pro/").content.decode()
    assert "Ann" in detail
    assert "Bert" not in detail
    assert "?segment=low-pro" in detail
    assert "?segment_id=low-pro" in detail


def test_what_is_wrong_stands_beside_its_row(client: Client, alice: User) -> None:
    client.force_login(alice)
    path = "/segments/new/"
    page = Form(client.get(path).content.decode())

    empty = press(client, path, page, "save", name="Everyone")
    assert empty.status_code == 422
    assert "Add at least one condition." in empty.content.decode()
    page = press(client, path, page, "add:0", g0__add="usage.events").form
    page = press(client, path, page, "group").form
    page = press(client, path, page, "add:1", g1__add="mrr_minor").form
    bad = press(
        client, path, page, "save", name="At risk", g1__0__value="much",
        g0__0__days="0", g0__0__value="3",
    )  # fmt: skip
    assert bad.status_code == 422
    assert bad.form.errors == [
        "Not the name of a built-in segment.",
        "Days: give a whole number from 1 to 800.",
        "Give a number.",
    ]
    named = press(
        client, path, bad.form, "save", g1__0__value="12.50", g0__0__days="7"
    )  # fmt: skip
    assert named.form.errors == ["Not the name of a built-in segment."]
    assert not Segment.objects.exists()
    saved = press(client, path, named.form, "save", name="Fine")
    assert saved.status_code == 302
    assert Segment.objects.get().definition["and"][1] == {
        "or": [{"field": "mrr_minor", "op": ">=", "value": 1250}]
    }


def test_rows_and_groups_can_be_removed(client: Client, alice: User) -> None:
    client.force_login(alice)
    path = "/segments/new/"
    page = Form(client.get(path).content.decode())
    for key in ("plan", "band", "custom:flag"):
        page = press(client, path, page, "add:0", g0__add=key).form

    page = press(client, path, page, "remove:0:1").form
    assert (page.values["g0.0.key"], page.values["g0.1.key"]) == (
        ["plan"],
        ["custom:flag"],
    )
    assert "g0.2.key" not in page.values
    page = press(client, path, page, "group").form
    assert "g1.match" in page.values
    page = press(client, path, page, "drop:0").form
    assert "g1.match" not in page.values
    assert "g0.0.key" not in page.values


@pytest.mark.parametrize(
    "do", ["add:9", "remove:0:99", "remove:x", "drop:0", "nonsense", "add:-1", ""]
)
def test_strange_buttons_change_nothing(client: Client, alice: User, do: str) -> None:
    client.force_login(alice)
    answer = client.post(
        "/segments/new/",
        {"g0.match": "none", "g0.0.key": "plan", "g0.0.op": "x", "g0.1.key": "?",
         "match": "?", "do": do},
    )  # fmt: skip

    form = Form(answer.content.decode())
    assert answer.status_code == 200
    assert (form.values["g0.match"], form.values["g0.0.op"]) == (["none"], ["="])
    assert not Segment.objects.exists()


DEFINITIONS: list[dict[str, Any]] = [
    LOW_PRO,
    {"or": [{"field": "name", "op": "in", "value": ["a, b", 'say "x"', "c"]}]},
    {"not": {"or": [{"field": "source", "op": "!=", "value": "stripe"}]}},
    {"and": [
        {"or": [{"field": "mrr_minor", "op": "between", "value": [1050, 99900]}]},
        {"not": {"or": [
            {"field": "created_at", "op": "between",
             "value": ["2026-01-01", "2026-02-01"]},
            {"field": "billing.renewal_at", "op": "in_next_days", "value": 30},
        ]}},
    ]},
    {"and": [
        {"field": "band", "op": "not_in", "value": ["watch", "at_risk"]},
        {"field": "usage.events", "event": "", "days": 30, "op": ">", "value": 2},
        {"field": "churn_probability", "op": "in", "value": [0.5, 1]},
        {"field": "custom", "path": ["a", "b"], "op": "=", "value": True},
        {"field": "custom", "path": ["n"], "op": ">=", "value": 2.5},
        {"field": "custom", "path": ["d"], "op": "before", "value": "2026-01-01"},
        {"field": "custom", "path": ["t"], "op": "is_not_set"},
    ]},
]  # fmt: skip


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_definition_comes_back_from_its_form(
    client: Client, alice: User, segment: Segment, definition: dict[str, Any]
) -> None:
    parse(definition)
    Segment.objects.update(definition=definition)
    client.force_login(alice)
    path = "/segments/low-pro/edit/"
    page = Form(client.get(path).content.decode())

    assert "text" not in page.values
    saved = press(client, path, page, "save", name="Other")

    assert saved.status_code == 302
    segment.refresh_from_db()
    assert (segment.name, segment.version) == ("Other", 1)
    built = from_definition(definition, 2).definition(2)
    assert built == definition


def test_what_rows_cannot_say_is_edited_as_json(
    client: Client, alice: User, segment: Segment
) -> None:
    deep = {"or": [LOW_PRO, {"and": [LOW_PRO, {"not": LOW_PRO}]}]}
    Segment.objects.update(definition=deep)
    client.force_login(alice)
    path = "/segments/low-pro/edit/"
    page = Form(client.get(path).content.decode())
    assert json.loads(page.values["text"][0]) == deep

    bad = press(client, path, page, "save", text='{"and": [{"field": "x"}]}')
    assert bad.status_code == 422
    assert "definition.and.0.field" in bad.content.decode()
    no_json = press(client, path, page, "save", text="{")
    assert no_json.status_code == 422
    simple = press(client, path, page, "save", text=json.dumps(LOW_PRO))

    assert simple.status_code == 302
    segment.refresh_from_db()
    assert (segment.definition, segment.version) == (LOW_PRO, 2)
    rows = Form(client.get(path).content.decode())
    as_json = press(client, path, rows, "json").form
    assert json.loads(as_json.values["text"][0]) == LOW_PRO


def test_the_filters_of_the_accounts_become_a_segment(
    client: Client, alice: User, bob: User, segment: Segment
) -> None:
    client.force_login(alice)
    query = "?plan=Pro&max_score=90&q=b"
    listed = client.get(f"/customers/{query}").content.decode()
    link = f"/segments/new/{query}&from=accounts".replace("&", "&amp;")
    assert link in listed
    page = Form(client.get(f"/segments/new/{query}&from=accounts").content.decode())
    press(client, "/segments/new/", page, "save", name="Found")

    found = client.get("/api/v1/customers?segment_id=found").json()["results"]
    assert [row["name"] for row in found] == ["Bert"]
    nested = client.get("/segments/new/?segment_id=low-pro&band=watch&from=accounts")
    page = Form(nested.content.decode())
    assert page.values["g1.0.value"] == ["Pro"]
    plain = client.get("/segments/new/?segment_id=none&from=accounts")
    assert plain.status_code == 200
    client.force_login(bob)
    assert "Save as segment" not in client.get(f"/customers/{query}").content.decode()


def test_deleting_asks_and_archives(
    client: Client, alice: User, segment: Segment
) -> None:
    client.force_login(alice)
    assert "Delete this segment?" in client.get("/segments/low-pro/").content.decode()
    assert client.get("/segments/low-pro/delete/").status_code == 405

    answer = client.post("/segments/low-pro/delete/", follow=True)

    assert "was deleted" in answer.content.decode()
    assert "No segments yet" in answer.content.decode()
    old = client.get(f"/segments/{segment.public_id}/").content.decode()
    assert "This segment was deleted." in old
    assert client.get("/segments/low-pro/").status_code == 404


def test_viewers_see_and_change_nothing(
    client: Client, bob: User, charlie: User, segment: Segment
) -> None:
    client.force_login(bob)
    listed = client.get("/segments/").content.decode()
    assert "Low pro" in listed
    assert "New segment" not in listed
    detail = client.get("/segments/low-pro/").content.decode()
    assert "Ann" in detail
    assert "Delete" not in detail
    for path in ("new/", "low-pro/edit/"):
        assert client.get(f"/segments/{path}").status_code == 403
    for path in ("new/", "low-pro/edit/", "low-pro/delete/", "preview/"):
        assert client.post(f"/segments/{path}", {"do": "save"}).status_code == 403
    client.force_login(charlie)
    for path in ("low-pro/", "low-pro/edit/"):
        assert client.get(f"/segments/{path}").status_code == 404
    assert client.post("/segments/low-pro/delete/").status_code == 404
    segment.refresh_from_db()
    assert segment.archived_at is None


@pytest.mark.parametrize(
    "path",
    ["/customers/", "/usage/", "/usage/active/", "/usage/retention/", "/support/",
     "/revenue/"],
)  # fmt: skip
def test_each_page_with_a_filter_takes_a_saved_segment(
    client: Client, alice: User, segment: Segment, path: str
) -> None:
    client.force_login(alice)

    good = client.get(f"{path}?segment_id=low-pro")
    bad = client.get(f"{path}?segment_id=none-such")

    assert good.status_code == 200
    if path != "/revenue/":
        assert "Low pro" in good.content.decode()
    assert bad.status_code == 400
    assert "There is no saved segment" in bad.content.decode()


def test_the_risk_list_takes_a_saved_segment(
    client: Client, alice: User, segment: Segment
) -> None:
    client.force_login(alice)

    assert client.get("/risk/?segment=low-pro").status_code == 200
    assert client.get("/risk/?segment=none-such").status_code == 400


def test_a_definition_of_before_an_update_is_said_plainly(
    client: Client, alice: User, segment: Segment
) -> None:
    Segment.objects.update(definition={"field": "gone", "op": "=", "value": 1})
    client.force_login(alice)

    page = client.get("/segments/low-pro/")

    assert page.status_code == 400
    assert "Nothing can be counted until it is put right." in page.content.decode()
    assert client.get("/segments/").status_code == 200
    assert "gone" in client.get("/segments/low-pro/edit/").content.decode()
