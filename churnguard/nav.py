"""Navigation entries of the settings pages: (group, label, url name, order), and the
role they need where that is more than to look."""

NAV = [
    ("Settings", "Organisation", "organization-settings", 79),
    ("Settings", "API keys", "api-keys", 80, "admin"),
    ("Settings", "Members", "members", 81),
    ("Settings", "Audit", "audit", 82, "admin"),
]
