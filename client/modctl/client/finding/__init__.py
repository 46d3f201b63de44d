"""Finding targets that nobody wrote down: every address of a DNS name, SRV records, and what a command prints."""
