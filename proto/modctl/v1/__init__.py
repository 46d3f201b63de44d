"""The public API of modctl: generated messages and stubs."""
