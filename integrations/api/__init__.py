"""The HTTP API of integrations: thin views over the verbs and queries of the app."""
