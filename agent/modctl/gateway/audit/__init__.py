"""Who tried to change what, and what came of it: two lines of JSON for each attempt.

log       an append-only file: fsync'd, turned over by size, shared with other gateways if need be
records   what the lines say
trail     the log of one gateway: what was begun and not ended, what could not be written
"""
