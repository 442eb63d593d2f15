"""The components: what they say, that they escape, and that no style slips in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import RequestFactory

from churnguard import charts, statuses, svg
from churnguard.icons import ICONS

CHECKOUT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted(
    path
    for folder in ("templates", "churnguard", "integrations", "analytics", "monitoring")
    for path in (CHECKOUT / folder).rglob("*.html")
)


def render(text: str, path: str = "/", **context: Any) -> str:
    request = RequestFactory().get(path)
    context["request"] = request
    return Template("{% load cg %}" + text).render(Context(context))


def test_a_status_has_shape_word_and_tone() -> None:
    html = render('{% status_pill "rate_limited" detail="4 min" %}')

    assert "t-warn" in html
    assert "<svg" in html
    assert "Rate limited · 4 min" in html


def test_an_unknown_status_keeps_its_word_and_is_escaped() -> None:
    assert "Made up" in render('{% status_pill "made-up" %}')
    html = render("{% status_pill word %}", word="<b>x</b>")
    assert "<b>" not in html


def test_machine_names_are_read_as_words() -> None:
    assert render("{{ name|words }}", name="survey_response") == "Survey response"


def test_every_status_word_has_a_known_shape() -> None:
    assert {look.shape for look in statuses.STATUSES.values()} == set(svg.SHAPES)


@pytest.mark.parametrize(
    ("score", "band"),
    [(None, "unscored"), (0, "at_risk"), (40, "watch"), (70, "healthy")],
)
def test_bands_of_bare_scores(score: float | None, band: str) -> None:
    assert statuses.get_band(score) == band


def test_a_score_without_value_says_so() -> None:
    html = render("{% score_badge None %}{% gauge None %}")

    assert "Not scored yet" in html
    assert 'aria-label="Health no score yet, Not scored yet"' in html


def test_the_gauge_names_its_score() -> None:
    assert 'aria-label="Health 71 of 100, Healthy"' in render(
        '{% gauge 71 "healthy" %}'
    )


def test_a_time_gives_age_machine_time_and_utc_title() -> None:
    at = datetime.now(UTC) - timedelta(minutes=2, seconds=5)
    html = render("{% time_ago at 60 %}", at=at)

    assert "2\u00a0min ago" in html
    assert f'datetime="{at.isoformat(timespec="seconds")}"' in html
    assert f'title="{at:%Y-%m-%d %H:%M:%S} UTC"' in html
    assert 'class="age stale"' in html
    assert "never" in render("{% time_ago None %}")


def test_query_string_keeps_filters_and_drops_the_cursor() -> None:
    html = render("{% qs band='at_risk' q=None %}", "/?q=x&after=12&segment=smb")

    assert html == "?segment=smb&amp;band=at_risk"


@pytest.mark.parametrize(
    ("query", "state", "target"),
    [
        ("", "", "?order=name"),
        ("?order=name", 'aria-sort="ascending"', "?order=-name"),
        ("?order=-name", 'aria-sort="descending"', "?order=name"),
    ],
)
def test_sort_heads_say_their_direction(query: str, state: str, target: str) -> None:
    html = render('{% sort_th "name" "Account" %}', f"/{query}")

    assert f'href="{target}"' in html
    assert state in html
    assert ("aria-sort" in html) == bool(state)


def test_a_gap_splits_the_sparkline() -> None:
    drawn = svg.sparkline([1, 2, None, 4, 5])
    line = re.search(r'class="spark-line" d="([^"]+)"', drawn)

    assert line is not None
    assert line.group(1).count("M") == 2


@pytest.mark.parametrize("values", [[], [None], [0], [5, 5, 5], [-3, 7]])
def test_sparklines_of_odd_data_stay_inside(values: list[float | None]) -> None:
    drawn = svg.sparkline(values, width=96, height=28)

    numbers = [float(n) for n in re.findall(r'c[xy]="(-?[\d.]+)"', drawn)]
    assert all(0 <= number <= 96 for number in numbers)
    assert "nan" not in drawn


def test_the_strip_shows_empty_runs_and_their_titles() -> None:
    html = render(
        '{% strip bars "Runs" %}',
        bars=[
            {"value": 0, "status": "failed", "title": "failed <1>"},
            {"value": 90, "status": "completed", "title": "completed"},
        ],
    )

    assert 'height="2.0"' in html
    assert "t-danger" in html
    assert "failed &lt;1&gt;" in html


def test_shares_of_a_stacked_bar_fill_it() -> None:
    drawn = svg.stacked_bar(
        [("ok", 3, "3"), ("danger", 1, "1"), ("info", 0, "0")], label="Runs", width=100
    )

    assert re.findall(r' x="([\d.]+)"', drawn) == ["0.0", "75.0"]


def test_a_field_ties_help_and_errors_to_its_input() -> None:
    class Sample(forms.Form):
        name = forms.CharField(help_text="Shown in lists.")

    html = render("{% field form.name %}", form=Sample({"name": ""}))

    assert 'aria-describedby="id_name_help id_name_errors"' in html
    assert 'aria-invalid="true"' in html
    assert 'id="id_name_help"' in html
    assert "This field is required." in html


def test_a_secret_is_never_written_back() -> None:
    class Sample(forms.Form):
        token = forms.CharField()

    form = Sample({"token": "s3cr3t-value-9f3c"})
    html = render(
        '{% secret_field form.token at "9f3c" %}', form=form, at=datetime.now(UTC)
    )

    assert "s3cr3t" not in html
    assert "9f3c" in html
    assert "required" not in html


def test_a_chart_brings_its_words_and_its_table() -> None:
    data = {
        "x": [1_795_132_800, 1_795_136_400, 1_795_140_000, 1_795_143_600],
        "series": [{"label": "Events </script>", "values": [10, None, 30, 41]}],
        "unit": "events",
    }
    html = render('{% chart "usage" "Usage" data %}', data=data)

    assert "Min 10, average 27, max 41 events; rising." in html
    assert html.count("<tr>") == 5
    assert html.index("2026-11-20 03:00") < html.index("2026-11-20 00:00")
    assert "Events </script>" not in html
    assert "<script" not in html


def test_the_words_of_a_chart_name_the_line_they_are_about() -> None:
    data = {
        "x": [1_795_132_800, 1_795_136_400],
        "series": [
            {"label": "New", "values": [1, 1]},
            {"label": "Returning", "values": [40, 80]},
        ],
        "unit": "users",
    }

    html = render('{% chart "usage" "Usage" data %}', data=data)

    assert "New: min 1, average 1, max 1 users; steady." in html


def test_a_long_chart_table_says_what_it_leaves_out() -> None:
    table = charts.table_rows(
        {"x": list(range(205)), "series": [{"values": list(range(205))}]}
    )

    assert table["hidden_rows"] == 5
    assert table["rows"][0]["cells"] == [5]


def test_a_chart_without_points_says_so() -> None:
    html = render(
        '{% chart "none" "Events" data %}',
        data={"x": [], "series": [{"label": "Events", "values": []}]},
    )

    assert "No data in this period" in html
    assert "Min " not in html
    assert "View as table" not in html


def test_the_ledger_adds_up_on_the_page() -> None:
    html = render(
        '{% include "components/ledger.html" with components=parts score=64 %}',
        parts=[
            {
                "label": "Usage",
                "score": 40,
                "weight": 60,
                "points_lost": 36,
                "reasons": [{"sentence": "Fewer days.", "points_lost": 36}],
            }
        ],
    )

    figures = [
        float(cell.replace("\u2212", "-"))
        for cell in re.findall(r'<td class="num[^"]*">([^<]+)</td>', html)
    ]
    start, component, reason, score = figures
    assert start + component == score
    assert component == reason


@pytest.mark.parametrize("name", sorted(ICONS))
def test_icons_carry_no_style(name: str) -> None:
    assert "style" not in ICONS[name]
    assert "script" not in ICONS[name]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_keep_the_content_security_policy(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=[\"']", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>", text)
    assert "hx-on" not in text
    assert "javascript:" not in text


def test_the_stylesheet_keeps_its_budget() -> None:
    css = (CHECKOUT / "static" / "css" / "app.css").read_bytes()

    assert len(css) <= 25 * 1024


@pytest.mark.parametrize(
    ("names", "has_choice"), [(["Acme"], False), (["A", "B"], True)]
)
def test_people_of_several_organisations_can_switch(
    names: list[str], has_choice: bool
) -> None:
    organizations = [
        SimpleNamespace(name=name, public_id=f"org_{name}") for name in names
    ]
    request = RequestFactory().get("/")
    request.user = SimpleNamespace(is_authenticated=True, email="dana@example.com")

    html = render_to_string(
        "partials/nav.html",
        {
            "organization": organizations[0],
            "memberships": [SimpleNamespace(organization=org) for org in organizations],
            "request": request,
        },
    )

    assert ('name="organization"' in html) == has_choice
    assert 'action="/sign-out/"' in html
