"""The thinking of changes in place, done once for all processes of the host.

rounds ─▶ session (what one process has said) ─▶ plans ─▶ texts
"""
