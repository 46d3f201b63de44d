"""What targets take; they say so themselves, too, but after it was sent."""

#: What the targets take in one request.
MAX_REQUEST_BYTES = 16 * 1024 * 1024
#: What the targets take as one source.
MAX_SOURCE_BYTES = 4 * 1024 * 1024
