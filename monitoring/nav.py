"""Navigation entries of the monitoring pages: (group, label, url name, order)."""

NAV: list[tuple[str, str, str, int]] = [
    ("", "Overview", "overview", 0),
    ("Operations", "Alerts", "alerts", 60),
    ("Data", "Data quality", "quality", 40),
]
