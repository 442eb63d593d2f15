"""Churn prediction as pure maths: numbers in, dataclasses out, no database."""
