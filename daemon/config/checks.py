"""What no single value shows: settings that contradict each other, refer to nothing, or would leave people untold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import get_close_matches

from daemon.config.errors import Problem
from daemon.config.forms import HEADER
from daemon.config.quantities import duration_text
from daemon.config.settings import (
    ColumnOverride,
    Labels,
    Model,
    Predictions,
    QualityAlert,
    Settings,
    SlackReceiver,
)
from daemon.config.tree import KeyPath, Node, problem_at
from daemon.config.unavailable import NOT_AVAILABLE
from daemon.config.vocabulary import (
    CATEGORICAL,
    ESTIMATED_METRICS,
    EVIDENTLY,
    EVIDENTLY_TESTS,
    FORMATS,
    METHODS,
    NEEDS_SCORE,
    NUMERIC,
    QUALITY_METRICS,
    kinds_of_method,
    methods_for,
)

MOST_WINDOWS = 100
"""A reference from live traffic has no more windows than this."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a check has to say: at which path, and which other paths it looked at."""

    path: KeyPath
    message: str
    hint: str = ""
    seen: tuple[KeyPath, ...] = ()
    is_warning: bool = False


def placed(
    complaints: Iterable[Complaint], tree: Node, root: KeyPath, untrusted: Collection[KeyPath]
) -> Iterator[Problem]:
    """The complaints as problems of the tree that stands at `root`; those that rest on untrusted values are dropped."""
    for complaint in complaints:
        if any(_touches(path, bad) for path in (complaint.path, *complaint.seen) for bad in untrusted):
            continue
        node, found = tree.find(complaint.path)
        place = node.place if found else node.key_at or node.at
        causes = [cause for cause, is_there in map(tree.find, (complaint.path, *complaint.seen)) if is_there]
        # What the defaults say against each other is one mistake, not one for each model.
        is_shared = found and all(cause.path[:1] == ("defaults",) for cause in causes)
        path = node.path if is_shared else (*root, *complaint.path)
        problem = problem_at(place, path, complaint.message, complaint.hint)
        yield replace(problem, severity="warning") if complaint.is_warning else problem


def _touches(path: KeyPath, bad: KeyPath) -> bool:
    length = min(len(path), len(bad))
    return path[:length] == bad[:length]


def check_installation(settings: Settings) -> Iterator[Complaint]:
    """What can be said without looking at a model."""
    kafka = settings.kafka
    if kafka.security_protocol.startswith("SASL") and kafka.sasl is None:
        message = f"{kafka.security_protocol} needs kafka.sasl"
        yield Complaint(("kafka", "security_protocol"), message, seen=(("kafka", "sasl"),))
    if kafka.sasl is not None and not kafka.security_protocol.startswith("SASL"):
        message = f"is not used with the security protocol {kafka.security_protocol}"
        yield Complaint(("kafka", "sasl"), message, "SASL_SSL or SASL_PLAINTEXT", (("kafka", "security_protocol"),))
    if kafka.ssl is not None and not kafka.security_protocol.endswith("SSL"):
        message = f"is not used with the security protocol {kafka.security_protocol}"
        yield Complaint(("kafka", "ssl"), message, "SSL or SASL_SSL", (("kafka", "security_protocol"),))
    for name, receiver in settings.receivers.items():
        if isinstance(receiver, SlackReceiver) and settings.slack is None:
            message = "is never told: there is no `slack` section"
            yield Complaint(("receivers", name), message, seen=(("slack",),), is_warning=True)


def check_model(model: Model, settings: Settings | None, receivers: Collection[str]) -> Iterator[Complaint]:
    """What one model's settings say against each other; `receivers` are the names that exist."""
    yield from _window(model)
    yield from _reference(model)
    yield from _labels_and_quality(model)
    yield from _columns(model)
    yield from _features(model)
    for section, topics in (("predictions", model.predictions), ("labels", model.labels)):
        if topics is None:
            continue
        if topics.format not in FORMATS:
            yield Complaint((section, "format"), f"unknown format {topics.format!r}", hint_for(topics.format, FORMATS))
        yield from _repeated((section, "topic"), topics.topic)
        yield from _paths(section, topics)
    for index, name in enumerate(model.receivers):
        if name not in receivers:
            yield Complaint(("receivers", index), f"there is no receiver {name!r}", hint_for(name, receivers))
    yield from _repeated(("receivers",), model.receivers)
    if settings is not None:
        yield from _told(model, settings)
        yield from _kept(model, settings)


def _repeated(path: KeyPath, names: Sequence[str]) -> Iterator[Complaint]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Complaint((*path, index), f"names {name!r} a second time")


def _features(model: Model) -> Iterator[Complaint]:
    path, patterns = ("predictions", "fields", "features"), _patterns(model.predictions)
    is_open = [pattern for pattern in patterns if pattern.endswith("*")]
    if len(is_open) > 1:
        message = f"has several patterns with a star, {' and '.join(is_open)}"
        yield Complaint(path, message, "keep one, and list the other features by their paths")
    yield from _repeated(path, patterns)


def _patterns(predictions: Predictions) -> tuple[str, ...]:
    features = predictions.fields.features
    return (features,) if isinstance(features, str) else features


def _paths(section: str, topics: Predictions | Labels) -> Iterator[Complaint]:
    """A value cannot be a field and an object that holds another field."""
    named: dict[KeyPath, str] = {(section, "fields", key): path for key, path in topics.fields if isinstance(path, str)}
    named |= {(section, "where", path): path for path in topics.where if not path.startswith(HEADER)}
    if isinstance(topics, Predictions) and not isinstance(topics.fields.features, str):
        named |= {(section, "fields", "features", index): path for index, path in enumerate(topics.fields.features)}
    for key, path in named.items():
        below = next((other for other in named.values() if other.startswith(f"{path}.")), None)
        if below is not None:
            message = f"{path} cannot be a field and hold the field {below} as well"
            yield Complaint(key, message, seen=((section, "fields"), (section, "where")))


def _window(model: Model) -> Iterator[Complaint]:
    window = model.window
    size, every = ("window", "size"), ("window", "every")
    for path, length in ((size, window.size), (every, window.every)):
        if length % _SECOND:
            yield Complaint(path, "must be a whole number of seconds")
    if window.every > window.size:
        message = f"must be at most the window's size, {duration_text(window.size)}"
        yield Complaint(every, f"{message}, not {duration_text(window.every)}", seen=(size,))
    elif window.size % window.every:
        message = f"must be a multiple of `every`, {duration_text(window.every)}, not {duration_text(window.size)}"
        yield Complaint(size, message, seen=(every,))


def _reference(model: Model) -> Iterator[Complaint]:
    reference, window, path = model.reference, model.window, ("reference", "window")
    if reference.uri is None and "fields" in reference.model_fields_set:
        message = "names the columns of a file, and there is none"
        yield Complaint(("reference", "fields"), message, "reference: {uri: ...}", (("reference", "uri"),))
    elif reference.uri is not None and "window" in reference.model_fields_set:
        message = "the reference is either a file or taken from live traffic"
        yield Complaint(path, message, "leave out `uri` or `window`", (("reference", "uri"),))
    count = reference.windows(window.size)
    if count > MOST_WINDOWS:
        message = f"is {count} windows of {duration_text(window.size)}; {MOST_WINDOWS} are the limit"
        yield Complaint(path, message, seen=(("window", "size"),))


def _labels_and_quality(model: Model) -> Iterator[Complaint]:
    fields = model.predictions.fields
    seen = (("task",), ("labels",), ("predictions", "fields"))
    metrics = QUALITY_METRICS[model.task]
    if model.task == "recommendation":
        yield from _recommendation(model)
    elif "k" in model.model_fields_set:
        yield Complaint(("k",), f"is of the task recommendation, not of {model.task}", seen=seen[:1])
    scored = "scores" if model.task == "multiclass" else "score"
    if fields.scores is not None and model.task != "multiclass":
        message = f"probabilities by class are those of the task multiclass, not of {model.task}"
        yield Complaint(("predictions", "fields", "scores"), message, seen=seen[:1])
    if model.labels is not None and model.task == "none":
        hint = "name the task, or leave the labels out"
        yield Complaint(("labels",), f"judging labels without a task {NOT_AVAILABLE}", hint, seen=(("task",),))
    elif (
        model.labels is not None
        and fields.prediction is None
        and (model.task != "binary_classification" or fields.score is None)
    ):
        yield Complaint(("predictions", "fields", "prediction"), "quality needs the prediction", seen=seen)
    for metric, alert in model.alerts.quality.items():
        path = ("alerts", "quality", metric)
        if model.task == "none":
            yield Complaint(path, "a limit of quality needs a task", seen=seen[:1])
        elif metric not in metrics:
            message = f"the task {model.task} has no metric {metric!r}"
            yield Complaint(path, message, hint_for(metric, metrics), seen[:1])
        elif metric in NEEDS_SCORE and getattr(fields, scored) is None:
            hint = f"predictions: {{fields: {{{scored}: ...}}}}"
            yield Complaint(path, f"{metric} needs the field of the {scored}", hint, seen)
        elif metric not in NEEDS_SCORE and fields.prediction is None:
            yield Complaint(path, f"{metric} needs the field of the prediction", seen=seen)
        estimated = model.reference.fields.label is not None and metric in ESTIMATED_METRICS.get(model.task, ())
        if model.labels is None and model.task != "none" and not estimated:
            yield Complaint(path, "a limit of quality needs `labels`", seen=seen)
        yield from _limit(path, alert)


def _recommendation(model: Model) -> Iterator[Complaint]:
    seen: tuple[KeyPath, ...] = (("task",),)
    fields = model.predictions.fields
    if fields.prediction is None and model.labels is None:
        yield Complaint(("predictions", "fields", "prediction"), "a recommendation is a list of items", seen=seen)
    for name in ("item", "score"):
        if getattr(fields, name) is not None:
            message = "is not used by the task recommendation: one message holds one list of items"
            yield Complaint(("predictions", "fields", name), message, seen=seen)
    if model.labels is not None and "coverage" in model.labels.maturity.model_fields_set:
        message = "is not used by the task recommendation: who takes nothing sends nothing, so at_most decides"
        yield Complaint(("labels", "maturity", "coverage"), message, seen=seen, is_warning=True)


def _limit(path: tuple[str, ...], alert: QualityAlert) -> Iterator[Complaint]:
    if alert.max is None and alert.min is None and alert.worse_than_reference is None:
        yield Complaint(path, "sets no limit", "give max, min or worse_than_reference")
    elif alert.max is not None and alert.min is not None and alert.min > alert.max:
        yield Complaint((*path, "min"), f"is above max, {alert.max:g}")


def _columns(model: Model) -> Iterator[Complaint]:
    excluded = set(model.columns.exclude)
    seen: tuple[KeyPath, ...] = (("columns", "exclude"),)
    for group in model.segments.by:
        for name in sorted(excluded.intersection(group)):
            yield Complaint(("segments", "by"), f"the column {name!r} is excluded by columns.exclude", seen=seen)
        if len(set(group)) < len(group):
            yield Complaint(("segments", "by"), f"names a column twice: {', '.join(group)}")
    for name in sorted(excluded.intersection(model.columns.important)):
        yield Complaint(("columns", "important"), f"the column {name!r} is excluded by columns.exclude", seen=seen)
    for name, override in model.columns.overrides.items():
        path = ("columns", "overrides", name)
        if name in excluded:
            yield Complaint(path, "the column is excluded by columns.exclude", seen=seen)
        yield from _override(path, override)


def _override(path: tuple[str, ...], override: ColumnOverride) -> Iterator[Complaint]:
    method, kinds = override.method, kinds_of_method(override.method)
    kind = None if override.type is None else NUMERIC if override.type == NUMERIC else CATEGORICAL
    seen = ((*path, "type"),)
    if kinds is None and method.startswith(EVIDENTLY):
        name = method.removeprefix(EVIDENTLY)
        yield Complaint((*path, "method"), f"Evidently has no test {name!r}", hint_for(name, EVIDENTLY_TESTS))
    elif kinds is None:
        yield Complaint(
            (*path, "method"), f"unknown method {method!r}", hint_for(method, (*METHODS, f"{EVIDENTLY}NAME"))
        )
    elif kind is not None and kind not in kinds:
        message = f"{method} is for {kinds[0]} columns, and this one is {override.type}"
        yield Complaint((*path, "method"), message, f"for those: {', '.join(methods_for(kind))}", seen)
    if kind == CATEGORICAL:
        for key in ("direction", "range"):
            if getattr(override, key) is not None:
                message = f"is for numeric columns, and this one is {override.type}"
                yield Complaint((*path, key), message, seen=seen)
    low, high = override.range if override.range is not None else (None, None)
    if low is not None and high is not None and low > high:
        yield Complaint((*path, "range"), f"the lowest value, {low:g}, is above the highest, {high:g}")
    if override.threshold is not None and override.threshold < 0:
        yield Complaint((*path, "threshold"), "must not be negative")


def _told(model: Model, settings: Settings) -> Iterator[Complaint]:
    seen: tuple[KeyPath, ...] = (("channel",), ("receivers",))
    if model.channel is None and not model.receivers:
        hint = "give it a channel or receivers"
        yield Complaint((), "nobody is told about this model", hint, seen, is_warning=True)
    elif model.channel is not None and settings.slack is None:
        message = "this channel is never told: there is no `slack` section"
        yield Complaint(("channel",), message, is_warning=True)


def _kept(model: Model, settings: Settings) -> Iterator[Complaint]:
    window, kept = model.window, settings.store.retention
    lateness = window.size if window.allowed_lateness is None else window.allowed_lateness
    seen: tuple[KeyPath, ...] = (("window",),)
    needed = f"a window needs {duration_text(window.size + lateness)}, its size and its lateness"
    if kept.profiles < window.size + lateness:
        message = f"store.retention.profiles keeps {duration_text(kept.profiles)}, but {needed}"
        yield Complaint(("window", "size"), message, seen=seen)
    elif kept.samples < window.size + lateness:
        message = f"store.retention.samples keeps {duration_text(kept.samples)}, but {needed}"
        yield Complaint(("window", "size"), message, seen=seen, is_warning=True)


def check_shared_topics(models: Mapping[str, Model]) -> Iterator[tuple[str, Complaint]]:
    """Models that read every message of a topic which others read too, by their names."""
    readers: dict[str, list[str]] = defaultdict(list)
    for name, model in models.items():
        for topic in dict.fromkeys(model.predictions.topic):
            readers[topic].append(name)
    for topic, names in readers.items():
        for name in names:
            if len(names) > 1 and not models[name].predictions.where:
                others = ", ".join(other for other in names if other != name)
                message = f"reads the whole topic {topic}, which {others} {'reads' if len(names) == 2 else 'read'} too"
                hint = "say which messages are this model's: where: {field: value}"
                yield name, Complaint(("predictions", "topic"), message, hint, (("predictions", "where"),), True)


def hint_for(word: str, words: Collection[str]) -> str:
    """The nearest of the words that exist, or all of them."""
    nearest = get_close_matches(word, words, n=1)
    if nearest:
        return f"did you mean {nearest[0]}?"
    return f"known: {', '.join(sorted(words))}" if words else "none is defined"
