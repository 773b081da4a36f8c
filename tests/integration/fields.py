"""The fields of a result, in order: what people.md promises to programs."""

FIELDS = [
    *("model", "version", "segment", "window_start", "window_end", "revision", "rows", "signal", "column", "metric"),
    *("value", "threshold", "noise_floor", "p_value", "verdict", "severity", "incident", "reference", "estimated"),
    *("config_hash", "driftd_version"),
]
