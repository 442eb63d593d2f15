"""The pages of integrations, syncs and quarantine. Numbers come from
`integrations.queries` and `integrations.activity`, changes go through the same verbs
as the API."""
