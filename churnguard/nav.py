"""Navigation entries of the settings pages: (group, label, url name, order)."""

NAV = [
    ("Settings", "Organisation", "organization-settings", 79),
    ("Settings", "API keys", "api-keys", 80),
    ("Settings", "Members", "members", 81),
    ("Settings", "Audit", "audit", 82),
]
