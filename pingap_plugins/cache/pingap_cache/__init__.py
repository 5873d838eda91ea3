"""A shared HTTP cache (RFC 9111) as a plugin of pingap.

``http`` decides and does no IO, ``stores`` keep bytes and know nothing of HTTP; the modules beside
them connect both with the phases of a request.
"""
