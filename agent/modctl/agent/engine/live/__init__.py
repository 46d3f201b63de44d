"""Changing code that is running: whoever holds a function, class or instance has the new code afterwards.

reload ─▶ baselines, dependents ─▶ modctl.source (plan) ─▶ transaction: stage ─▶ merge ─▶ commit ─▶ journal

changing ← bringing, records, reload      (a request to its answer)
values ← states ← world ← rehome          operations ← journal
merge ← functions, classes, enums, data   evaluate ← running ← class_parts, opaque
"""
