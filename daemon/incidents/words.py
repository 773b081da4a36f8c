"""Lines in words: plain text, unescaped, for the timeline and for every receiver."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from daemon.incidents.incident import RANK
from daemon.incidents.lines import Line, LineKey
from detectors.findings import Signal
from detectors.instants import DAY, HOUR, MINUTE, SECOND, Micros

METRICS: dict[str, str] = {
    "accuracy": "accuracy",
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "bias": "bias",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "chisquare": "chi-square p",
    "f1": "F1",
    "hellinger": "Hellinger distance",
    "jensenshannon": "Jensen-Shannon distance",
    "kl_div": "KL divergence",
    "ks": "KS p",
    "log_loss": "log loss",
    "mae": "MAE",
    "mape": "MAPE",
    "missing": "missing",
    "missing_maximum": "missing",
    "precision": "precision",
    "psi": "PSI",
    "r2": "R²",
    "recall": "recall",
    "rmse": "RMSE",
    "roc_auc": "ROC AUC",
    "rows": "rows",
    "tvd": "total variation",
    "unseen": "unseen",
    "wasserstein": "Wasserstein distance",
    "z": "z-test p",
}
"""Metrics as people call them; any other goes by its own name."""

SHARES = frozenset(
    {
        "missing",
        "missing_maximum",
        "unseen",
        "nonfinite",
        "mistyped",
        "out_of_range",
        "constant",
        "stuck",
        "duplicate_share",
    }
)
"""Metrics that are a share of rows in 0..1, shown in percent."""

_DATA_QUALITY: dict[str, str] = {
    "missing": "missing values in {column}",
    "missing_maximum": "missing values in {column}",
    "unseen": "unseen values in {column}",
    "nonfinite": "infinite values in {column}",
    "mistyped": "values of the wrong type in {column}",
    "range": "values out of range in {column}",
    "out_of_range": "values out of range in {column}",
    "constant": "{column} varies, it used to be constant",
    "stuck": "{column} is stuck at one value",
    "rows": "an unusual number of rows",
}


def metric_name(metric: str) -> str:
    """The metric as people call it.

    >>> metric_name("mae"), metric_name("hit_rate")
    ('MAE', 'hit rate')
    """
    return METRICS.get(metric, metric.replace("_", " "))


def segment_name(segment: tuple[tuple[str, str], ...]) -> str:
    """The segment's values; `all` for the total.

    >>> segment_name((("dest", "LAX"), ("origin", "JFK")))
    'dest LAX, origin JFK'
    """
    return ", ".join(f"{column} {value}" for column, value in segment) or "all"


def subject(key: LineKey) -> str:
    """What the line says while it fires, as a clause without its segment.

    >>> subject(LineKey(Signal.FEATURE_DRIFT, "psi", column="dep_delay"))
    'dep_delay drifted'
    >>> subject(LineKey(Signal.QUALITY, "mae"))
    'MAE got worse'
    """
    match key.signal:
        case Signal.PREDICTION_DRIFT:
            return "scores drifted" if key.column == "score" else "predictions drifted"
        case Signal.FEATURE_DRIFT:
            return f"{key.column} drifted"
        case Signal.LABEL_DRIFT:
            return "labels drifted"
        case Signal.QUALITY:
            return f"{metric_name(key.metric)} got worse"
        case Signal.ESTIMATED_QUALITY:
            return f"estimated {metric_name(key.metric)} got worse"
        case Signal.NO_PREDICTIONS:
            return "no predictions"
        case Signal.STALLED:
            return "a partition stands still"
        case Signal.LAGGING:
            return "reading lags behind"
        case Signal.LABELS_MISSING:
            return "labels are missing"
        case Signal.SCHEMA if key.metric == "lost" and key.column:
            return f"{key.column} is gone"
        case Signal.SCHEMA:
            return f"{key.column} changed its type" if key.column else "the schema changed"
        case Signal.DATA_QUALITY:
            template = _DATA_QUALITY.get(key.metric)
            column = key.column or "the rows"
            return template.format(column=column) if template else f"{metric_name(key.metric)} of {column}"
        case Signal.DRIFTD:
            return "driftd has trouble of its own"


def clause(key: LineKey) -> str:
    """`subject` with the segment that it is about.

    >>> clause(LineKey(Signal.QUALITY, "mae", segment=(("origin", "JFK"),)))
    'MAE got worse for origin JFK'
    """
    return subject(key) + (f" for {segment_name(key.segment)}" if key.segment else "")


def clauses(keys: list[LineKey], limit: int = 3) -> str:
    """Several lines in one sentence, the gravest first, each subject once with its segments, then `and n more`.

    >>> clauses([LineKey(Signal.QUALITY, "mae"), LineKey(Signal.QUALITY, "mae", segment=(("origin", "JFK"),))])
    'MAE got worse'
    """
    subjects: dict[str, list[LineKey]] = {}
    for key in sorted(keys, key=lambda key: (-RANK[key.signal], key.order)):
        subjects.setdefault(subject(key), []).append(key)
    parts = []
    for text, same in subjects.items():
        segments = list(dict.fromkeys(segment_name(key.segment) for key in same))
        if "all" in segments:
            parts.append(text)
        else:
            more = f" and {len(segments) - limit} more" if len(segments) > limit else ""
            parts.append(f"{text} for {' and '.join(segments[:limit])}{more}")
    more = f" and {len(parts) - limit} more" if len(parts) > limit else ""
    return ", ".join(parts[:limit]) + more


def name(key: LineKey) -> str:
    """What the line is about, as a noun with its segment.

    >>> name(LineKey(Signal.QUALITY, "mae", segment=(("origin", "JFK"),)))
    'MAE for origin JFK'
    """
    match key.signal:
        case Signal.PREDICTION_DRIFT:
            noun = "scores" if key.column == "score" else "predictions"
        case Signal.FEATURE_DRIFT:
            noun = key.column or "a feature"
        case Signal.LABEL_DRIFT:
            noun = "labels"
        case Signal.QUALITY | Signal.ESTIMATED_QUALITY:
            noun = metric_name(key.metric)
        case Signal.SCHEMA if key.metric == "lost" and key.column:
            noun = key.column
        case Signal.SCHEMA:
            noun = f"the type of {key.column}" if key.column else "the schema"
        case Signal.STALLED:
            noun = "the partition"
        case Signal.LAGGING:
            noun = "the reader's lag"
        case _:
            noun = subject(key)
    return noun + (f" for {segment_name(key.segment)}" if key.segment else "")


def names(keys: list[LineKey], limit: int = 5) -> str:
    """Several lines as nouns, the gravest first, then `and n more`."""
    ordered = sorted(keys, key=lambda key: (-RANK[key.signal], key.order))
    nouns = list(dict.fromkeys(name(key) for key in ordered))
    more = f" and {len(nouns) - limit} more" if len(nouns) > limit else ""
    return ", ".join(nouns[:limit]) + more


def gravest(lines: tuple[Line, ...]) -> list[Line]:
    """The lines by gravity: signal, the total before its segments, those still firing first, then largest excess."""

    def gravity(line: Line) -> tuple[object, ...]:
        value, threshold = line.facts.value, line.facts.threshold
        excess = abs(value) / abs(threshold) if value is not None and threshold else 0.0
        return (-RANK[line.key.signal], len(line.key.segment) > 0, line.phase != "firing", -excess, line.key.order)

    return sorted(lines, key=gravity)


def capital(text: str) -> str:
    """The sentence with a capital, unless it begins with a name such as dep_delay or MAE.

    >>> capital("predictions drifted"), capital("dep_delay drifted")
    ('Predictions drifted', 'dep_delay drifted')
    """
    first = text.split(" ", 1)[0]
    return text[0].upper() + text[1:] if first.isalpha() and first.islower() else text


def day(instant: Micros, zone: tzinfo = UTC) -> str:
    """Day and minute, without the year.

    >>> day(1360299600000000)
    '8 Feb 05:00'
    """
    moment = datetime.fromtimestamp(instant // SECOND, zone)
    return f"{moment.day} {moment:%b %H:%M}"


def length(micros: Micros) -> str:
    """A length of time in its two largest units.

    >>> length(43 * MINUTE), length(DAY + 6 * HOUR + MINUTE), length(40 * SECOND)
    ('43 min', '1 d 6 h', '40 s')
    """
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
    for i, (size, name) in enumerate(units):
        if micros >= size:
            text = f"{micros // size} {name}"
            if i + 1 < len(units) and size != MINUTE and micros % size >= units[i + 1][0]:
                text += f" {micros % size // units[i + 1][0]} {units[i + 1][1]}"
            return text
    return "0 s"
