"""`modctl dev`: files are watched, and what is saved is what runs.

watching ──▶ saves (which files are which modules, what really changed) ──▶ push (who has it, send it) ──▶ lines
"""
