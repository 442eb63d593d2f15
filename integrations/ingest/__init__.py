"""The ingest API: many small requests in, few large commits out.

body -> decode -> committer (group commit through `integrations.load`) -> answer.
`door` is the fast ASGI way in, `views` the Django REST one; both call `flow`.
"""
