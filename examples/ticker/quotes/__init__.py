"""Quotes and how they are written."""
