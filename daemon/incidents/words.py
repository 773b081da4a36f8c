"""Lines in words: plain text, unescaped, for the timeline and for every receiver."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from daemon.incidents.incident import RANK
from daemon.incidents.lines import Line, LineKey
from detectors.findings import SUITE, Signal
from detectors.instants import DAY, HOUR, MINUTE, SECOND, Micros

METRICS: dict[str, str] = {
    "accuracy": "accuracy",
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "bias": "bias",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "chisquare": "chi-square p",
    "differing": "differing",
    "coverage": "coverage of the catalogue",
    "f1": "F1",
    "gini": "Gini of exposure",
    "hellinger": "Hellinger distance",
    "jensenshannon": "Jensen-Shannon distance",
    "kl_div": "KL divergence",
    "ks": "KS p",
    "log_loss": "log loss",
    "mae": "MAE",
    "map": "MAP",
    "mape": "MAPE",
    "missing": "missing",
    "missing_maximum": "missing",
    "mistyped": "of another type",
    "nonfinite": "infinite",
    "mrr": "MRR",
    "ndcg": "NDCG",
    "precision": "precision",
    "popularity": "popularity of what is shown",
    "psi": "PSI",
    "r2": "R²",
    "recall": "recall",
    "rmse": "RMSE",
    "robust_wasserstein": "shift in σ",
    "roc_auc": "ROC AUC",
    "rows": "rows",
    "stuck": "in one value",
    "tvd": "total variation",
    "unseen": "unseen",
    "wasserstein": "Wasserstein distance",
    "z": "z-test p",
}
"""Metrics as people call them; any other goes by its own name."""

SHARES = frozenset(
    {
        "differing",
        "duplicate_items",
        "invalid_scores",
        "label_coverage",
        "long_lists",
        "lost",
        "missing",
        "missing_maximum",
        "mistyped",
        "nonfinite",
        "out_of_range",
        "stuck",
        "unknown_labels",
        "unseen",
    }
)
"""Metrics that are a share of rows in 0..1, shown in percent."""

_HEADLINES = ("mae", "rmse", "accuracy", "f1", "roc_auc", "ndcg", "hit_rate", "average_precision", "log_loss")
"""Of several quality metrics these are named first: the ones that people think in."""

_DATA_QUALITY: dict[str, str] = {
    "duplicate_items": "lists hold an item twice",
    "invalid_scores": "{column} is no probability",
    "long_lists": "lists are longer than before",
    "missing": "missing values in {column}",
    "missing_maximum": "too many missing values in {column}",
    "nonfinite": "infinite values in {column}",
    "out_of_range": "values out of range in {column}",
    "rows": "an unusual number of rows",
    "lost_offsets": "messages that were lost before they were read",
    "stuck": "{column} is stuck at one value",
    "unknown_labels": "labels of unknown classes",
    "unseen": "unseen values in {column}",
}
_SCHEMA: dict[str, str] = {"lost": "{column} is gone", "mistyped": "{column} changed its type"}


def metric_name(metric: str) -> str:
    """The metric as people call it.

    >>> metric_name("mae"), metric_name("hit_rate"), metric_name("evidently.MissingValueCount.share")
    ('MAE', 'hit rate', "Evidently's MissingValueCount.share")
    """
    if metric.startswith(SUITE):
        return f"Evidently's {metric.removeprefix(SUITE)}"
    return METRICS.get(metric, metric.replace("_", " "))


def quality_name(key: LineKey) -> str:
    """The metric of a quality line, and whether it is only estimated.

    >>> quality_name(LineKey(Signal.ESTIMATED_QUALITY, "mae"))
    'estimated MAE'
    """
    estimated = "estimated " if key.signal is Signal.ESTIMATED_QUALITY else ""
    return estimated + metric_name(key.metric)


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
        case Signal.DATA_QUALITY if key.metric.startswith(SUITE):
            return f"{_of_suite(key)} beyond its limit"
        case Signal.PREDICTION_DRIFT:
            return "scores drifted" if key.column == "score" else "predictions drifted"
        case Signal.FEATURE_DRIFT:
            return f"{key.column or 'several columns'} drifted"
        case Signal.LABEL_DRIFT:
            return "labels drifted"
        case Signal.QUALITY | Signal.ESTIMATED_QUALITY:
            return f"{quality_name(key)} got worse"
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


def _of_suite(key: LineKey) -> str:
    return metric_name(key.metric) + (f" of {key.column}" if key.column else "")


def clause(key: LineKey) -> str:
    """`subject` with the segment that it is about.

    >>> clause(LineKey(Signal.QUALITY, "mae", segment=(("origin", "JFK"),)))
    'MAE got worse for origin JFK'
    """
    return subject(key) + (f" for {segment_name(key.segment)}" if key.segment else "")


def clauses(keys: list[LineKey], limit: int = 3) -> str:
    """Several lines in one sentence, the gravest first, each subject once with its segments, then `and n more`.

    >>> mae = LineKey(Signal.QUALITY, "mae")
    >>> clauses([mae, LineKey(Signal.QUALITY, "mae", segment=(("origin", "JFK"),))])
    'MAE got worse'
    >>> clauses([LineKey(Signal.PREDICTION_DRIFT, "psi"), LineKey(Signal.QUALITY, "bias"), mae])
    'MAE and bias got worse, predictions drifted'
    """
    subjects: dict[str, list[LineKey]] = {}
    for key in sorted(keys, key=_gravity):
        # Metrics that got worse together are one thing to say.
        quality = key.signal in (Signal.QUALITY, Signal.ESTIMATED_QUALITY)
        subjects.setdefault(key.signal if quality else subject(key), []).append(key)
    parts = []
    for same in subjects.values():
        said = listed(list(dict.fromkeys(metric_name(key.metric) for key in same)), limit)
        text = subject(same[0]).replace(metric_name(same[0].metric), said, 1) if len(same) > 1 else subject(same[0])
        segments = list(dict.fromkeys(segment_name(key.segment) for key in same))
        parts.append(text if "all" in segments else f"{text} for {listed(segments, limit)}")
    more = f" and {len(parts) - limit} more" if len(parts) > limit else ""
    return ", ".join(parts[:limit]) + more


def listed(words: list[str], limit: int) -> str:
    """Words as a list in a sentence; a single one beyond the limit is said rather than counted.

    >>> listed(["a"], 2), listed(["a", "b", "c"], 2), listed(["a", "b", "c", "d"], 2)
    ('a', 'a, b and c', 'a, b and 2 more')
    """
    if len(words) > limit + 1:
        return f"{', '.join(words[:limit])} and {len(words) - limit} more"
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _gravity(key: LineKey) -> tuple[object, ...]:
    headline = _HEADLINES.index(key.metric) if key.metric in _HEADLINES else len(_HEADLINES)
    return (-RANK[key.signal], len(key.segment) > 0, headline, key.order)


def name(key: LineKey) -> str:
    """What the line is about, as a noun with its segment.

    >>> name(LineKey(Signal.QUALITY, "mae", segment=(("origin", "JFK"),)))
    'MAE for origin JFK'
    """
    match key.signal:
        case Signal.DATA_QUALITY if key.metric.startswith(SUITE):
            noun = _of_suite(key)
        case Signal.PREDICTION_DRIFT:
            noun = "scores" if key.column == "score" else "predictions"
        case Signal.FEATURE_DRIFT:
            noun = key.column or "the columns"
        case Signal.LABEL_DRIFT:
            noun = "labels"
        case Signal.QUALITY | Signal.ESTIMATED_QUALITY:
            noun = quality_name(key)
        case Signal.SCHEMA if key.metric == "lost" and key.column:
            noun = key.column
        case Signal.SCHEMA:
            noun = key.column or "the schema"
        case Signal.STALLED:
            noun = "the partition"
        case Signal.LAGGING:
            noun = "the reader's lag"
        case _:
            noun = subject(key)
    return noun + (f" for {segment_name(key.segment)}" if key.segment else "")


def names(keys: list[LineKey], limit: int = 5) -> str:
    """Several lines as nouns, the gravest first, then `and n more`."""
    return listed(list(dict.fromkeys(name(key) for key in sorted(keys, key=_gravity))), limit)


def gravest(lines: tuple[Line, ...]) -> list[Line]:
    """The lines by gravity: signal, the total before its segments, those still firing and rules first, then size."""

    def gravity(line: Line) -> tuple[object, ...]:
        value, threshold = line.facts.value, line.facts.threshold
        excess = abs(value) / abs(threshold) if value is not None and threshold else 0.0
        rank, of_segment, headline, order = _gravity(line.key)
        return (rank, of_segment, line.phase != "firing", not line.immediate, headline, -excess, order)

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
