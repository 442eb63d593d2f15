"""Churn prediction in the product: facts to snapshots, training, scoring, answers."""
