"""Navigation entries of the analytics pages: (group, label, url name, order)."""

NAV = [
    ("Customers", "Accounts", "customers", 10),
    ("Customers", "Segments", "segments", 15),
    ("Customers", "Churn risk", "risk", 20),
    ("Customers", "Usage trends", "usage", 30),
    ("Customers", "Revenue", "revenue", 40),
    ("Customers", "Support", "support", 45),
    ("Customers", "Analyses", "analyses", 50),
    ("Customers", "Identity", "identity", 60),
    ("Settings", "Health definition", "health-definition", 79),
]
