"""Which source identities are the same company, why, and how to undo it.

Entities are a function of the identities and the decisions people made, never of the
order of arrival: `partition` is pure, `resolve` applies what it says.
"""
