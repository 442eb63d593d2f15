"""Navigation entries of the integration pages: (group, label, url name, order)."""

NAV = [
    ("Data", "Integrations", "integrations", 40),
    ("Data", "Sync activity", "runs", 41),
    ("Data", "Quarantine", "quarantine", 42),
]
