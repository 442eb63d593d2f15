"""HubSpot CRM: the connector, its objects, reading and records."""
