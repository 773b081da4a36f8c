"""A model's own Evidently suite: presets, metrics and tests that Evidently itself computes on a window's rows.

Only `running` imports Evidently, inside a call: that takes seconds and hundreds of megabytes, so a worker of its own
does it, and only for a model that has such a suite.
"""
