"""Navigation entries of the analytics pages: (group, label, url name, order)."""

NAV = [
    ("Customers", "Accounts", "customers", 10),
    ("Customers", "Usage trends", "usage", 30),
]
