"""Settings that contradict each other."""

from __future__ import annotations

import pytest

from tests.unit.config.texts import BEGINNING, Problems, told

START = "models:\n  m:\n    predictions: {topic: t}\n    reference: {uri: r.csv}\n    channel: c\n"
"""Lines 4 to 8, so that what follows begins in line 9, with the path models.m."""
LABELLED = START + "    task: binary_classification\n    labels: {topic: l}\n"

MODELS: list[tuple[str, str]] = [
    (
        START + "    window: {size: 7h, every: 2h}\n",
        "9:20: models.m.window.size: must be a multiple of `every`, 2h, not 7h",
    ),
    (START + "    window: {size: 1h}\n", "9:5: models.m.window.every: must be at most the window's size, 1h, not 6h"),
    (
        START + "    window: {size: 1h, every: 250ms}\n",
        "9:31: models.m.window.every: must be a whole number of seconds",
    ),
    (
        START + "    window: {size: 60d, every: 30d}\n",
        (
            "9:20: models.m.window.size: store.retention.profiles keeps 90d, "
            "but a window needs 120d, its size and its lateness"
        ),
    ),
    (
        START + "    window: {size: 10d, every: 10d}\n",
        (
            "9:20: warning: models.m.window.size: store.retention.samples keeps 14d, "
            "but a window needs 20d, its size and its lateness"
        ),
    ),
    (
        START.replace("{uri: r.csv}", "{uri: r.csv, window: first 3d}"),
        (
            "7:37: models.m.reference.window: the reference is either a file or taken from live traffic "
            "(leave out `uri` or `window`)"
        ),
    ),
    (
        START.replace("{uri: r.csv}", "{fields: {label: l}}"),
        "7:17: models.m.reference.fields: names the columns of a file, and there is none (reference: {uri: ...})",
    ),
    (
        START.replace("{uri: r.csv}", "{window: first 3d}") + "    window: {size: 30m, every: 30m}\n",
        "7:25: models.m.reference.window: is 144 windows of 30m; 100 are the limit",
    ),
    (
        START.replace("{uri: r.csv}", "{window: previous 28d}"),
        (
            "7:25: models.m.reference.window: a reference that moves on with the traffic "
            "is not available in this version (0.1.0)"
        ),
    ),
    (
        START + "    labels: {topic: l}\n",
        (
            "9:5: models.m.labels: judging labels without a task is not available in this version (0.1.0) "
            "(name the task, or leave the labels out)"
        ),
    ),
    (
        START + "    alerts: {quality: {mae: {max: 1}}}\n",
        "9:24: models.m.alerts.quality.mae: a limit of quality needs a task",
    ),
    (
        START + "    task: regression\n    k: 5\n",
        "10:8: models.m.k: is of the task recommendation, not of regression",
    ),
    (
        START + "    task: recommendation\n    labels: {topic: l, maturity: {coverage: 90%}}\n",
        (
            "10:45: warning: models.m.labels.maturity.coverage: is not used by the task recommendation: "
            "who takes nothing sends nothing, so at_most decides"
        ),
    ),
    (
        (
            "models:\n  m:\n    predictions: {topic: t, fields: {item: i}}\n    reference: {uri: r.csv}\n"
            "    channel: c\n    task: recommendation\n"
        ),
        (
            "6:44: models.m.predictions.fields.item: is not used by the task recommendation: "
            "one message holds one list of items"
        ),
    ),
    (
        START + "    task: multiclass\n    labels: {topic: l}\n    alerts: {quality: {log_loss: {max: 1}}}\n",
        (
            "11:24: models.m.alerts.quality.log_loss: log_loss needs the field of the scores "
            "(predictions: {fields: {scores: ...}})"
        ),
    ),
    (
        (
            "models:\n  m:\n    predictions: {topic: t, fields: {scores: p}}\n    reference: {uri: r.csv}\n"
            "    channel: c\n    task: regression\n"
        ),
        (
            "6:46: models.m.predictions.fields.scores: "
            "probabilities by class are those of the task multiclass, not of regression"
        ),
    ),
    (
        START + "    task: regression\n    alerts: {quality: {mae: {max: 1}}}\n",
        "10:24: models.m.alerts.quality.mae: a limit of quality needs `labels`",
    ),
    (
        LABELLED + "    alerts: {quality: {mae: {max: 1}}}\n",
        (
            "11:24: models.m.alerts.quality.mae: the task binary_classification has no metric 'mae' (known: accuracy, "
            "average_precision, balanced_accuracy, brier, calibration_error, f1, log_loss, precision, recall, roc_auc)"
        ),
    ),
    (
        LABELLED + "    alerts: {quality: {roc_auc: {min: 0.9}}}\n",
        (
            "11:24: models.m.alerts.quality.roc_auc: roc_auc needs the field of the score "
            "(predictions: {fields: {score: ...}})"
        ),
    ),
    (
        LABELLED + "    alerts: {quality: {recall: {}}}\n",
        "11:24: models.m.alerts.quality.recall: sets no limit (give max, min or worse_than_reference)",
    ),
    (
        LABELLED + "    alerts: {quality: {recall: {min: 2, max: 1}}}\n",
        "11:38: models.m.alerts.quality.recall.min: is above max, 1",
    ),
    (
        LABELLED.replace("{topic: t}", "{topic: t, fields: {prediction: null}}"),
        "6:50: models.m.predictions.fields.prediction: quality needs the prediction",
    ),
    (
        START + "    columns: {exclude: [a, b]}\n    segments: {by: [c, [a, d]]}\n",
        "10:16: models.m.segments.by: the column 'a' is excluded by columns.exclude",
    ),
    (START + "    segments: {by: [[a, a]]}\n", "9:16: models.m.segments.by: names a column twice: a, a"),
    (
        START + "    columns: {exclude: a, important: a}\n",
        "9:38: models.m.columns.important: the column 'a' is excluded by columns.exclude",
    ),
    (
        START + "    columns: {exclude: a, overrides: {a: {type: numeric}}}\n",
        "9:39: models.m.columns.overrides.a: the column is excluded by columns.exclude",
    ),
    (
        START + "    columns: {overrides: {a: {method: wassertein}}}\n",
        "9:39: models.m.columns.overrides.a.method: unknown method 'wassertein' (did you mean wasserstein?)",
    ),
    (
        START + "    columns: {overrides: {a: {method: 'evidently:'}}}\n",
        (
            "9:39: models.m.columns.overrides.a.method: Evidently has no test '' (known: TVD, anderson, chisquare, "
            "cramer_von_mises, ed, empirical_mmd, es, fisher_exact, g_test, hellinger, jensenshannon, kl_div, ks, "
            "mannw, psi, t_test, wasserstein, z)"
        ),
    ),
    (
        START + "    columns: {overrides: {a: {method: 'evidently:andersen'}}}\n",
        "9:39: models.m.columns.overrides.a.method: Evidently has no test 'andersen' (did you mean anderson?)",
    ),
    (
        START + "    columns: {overrides: {a: {type: boolean, method: ks}}}\n",
        (
            "9:54: models.m.columns.overrides.a.method: ks is for numeric columns, and this one is boolean (for those: "
            "auto, psi, jensenshannon, kl_div, chisquare, hellinger, tvd, z, evidently:TVD, evidently:chisquare, "
            "evidently:fisher_exact, evidently:g_test, evidently:hellinger, evidently:jensenshannon, evidently:kl_div, "
            "evidently:psi, evidently:z)"
        ),
    ),
    (
        START + "    columns: {overrides: {a: {type: categorical, direction: up}}}\n",
        "9:61: models.m.columns.overrides.a.direction: is for numeric columns, and this one is categorical",
    ),
    (
        START + "    columns: {overrides: {a: {type: categorical, range: [0, 1]}}}\n",
        "9:50: models.m.columns.overrides.a.range: is for numeric columns, and this one is categorical",
    ),
    (
        START + "    columns: {overrides: {a: {threshold: .nan}}}\n",
        "9:42: models.m.columns.overrides.a.threshold: must be a finite number, not .nan",
    ),
    (
        START + "    columns: {overrides: {a: {range: [0, .inf]}}}\n",
        "9:42: models.m.columns.overrides.a.range[1]: must be a finite number, not .inf",
    ),
    (
        START + "    columns: {overrides: {a: {missing: {max: .nan}}}}\n",
        ("9:46: models.m.columns.overrides.a.missing.max: must be between 0 and 1, or between 0% and 100%, not .nan"),
    ),
    (
        LABELLED + "    alerts: {quality: {recall: {min: -.inf}}}\n",
        "11:38: models.m.alerts.quality.recall.min: must be a finite number, not -.inf",
    ),
    (
        START.replace("{topic: t}", "{topic: [t, t]}"),
        "6:30: models.m.predictions.topic[1]: names 't' a second time",
    ),
    (
        START.replace("{topic: t}", "{topic: t, fields: {features: ['features.*', '*']}}"),
        (
            "6:38: models.m.predictions.fields.features: has several patterns with a star, features.* and * "
            "(keep one, and list the other features by their paths)"
        ),
    ),
    (
        START.replace("{topic: t}", "{topic: t, fields: {prediction: output, score: output.score}}"),
        (
            "6:50: models.m.predictions.fields.prediction: "
            "output cannot be a field and hold the field output.score as well"
        ),
    ),
    (
        START.replace("{topic: t}", "{topic: t, where: {features: a}}"),
        ("6:47: models.m.predictions.where.features: features cannot be a field and hold the field features.* as well"),
    ),
    (
        START.replace("{topic: t}", "{topic: t, where: {'header:': a}}"),
        "6:37: models.m.predictions.where.header:: names no header: write header:NAME",
    ),
    (
        START + "    columns: {overrides: {a: {range: [2, 1]}}}\n",
        "9:31: models.m.columns.overrides.a.range: the lowest value, 2, is above the highest, 1",
    ),
    (
        START + "    columns: {overrides: {a: {threshold: -1}}}\n",
        "9:42: models.m.columns.overrides.a.threshold: must not be negative",
    ),
    (START + "    receivers: [pagr]\n", "9:17: models.m.receivers[0]: there is no receiver 'pagr' (none is defined)"),
    (
        START.replace("{topic: t}", "{topic: t, format: jsn}"),
        "6:37: models.m.predictions.format: unknown format 'jsn' (did you mean json?)",
    ),
    (
        START.replace("    channel: c\n", ""),
        "5:3: warning: models.m: nobody is told about this model (give it a channel or receivers)",
    ),
]


@pytest.mark.parametrize(("text", "expected"), MODELS)
def test_a_model(problems_of: Problems, text: str, expected: str) -> None:
    assert told(problems_of(BEGINNING + text)) == [expected]


WITHOUT_SLACK = BEGINNING.replace("slack: {bot_token: xoxb-test}", "clock: wall")
INSTALLATIONS: list[tuple[str, list[str]]] = [
    (
        BEGINNING.replace("kafka:9092", "k:99999") + START,
        [
            (
                "2:28: kafka.bootstrap_servers[0]: must be HOST:PORT, such as kafka:9092, with a port from 1 to 65535, "
                "not 'k:99999'"
            )
        ],
    ),
    (
        BEGINNING + START + "receivers: {r: {type: webhook, url: notaurl}}\n",
        ["9:37: receivers.r.url: must be an address that begins with http:// or https://"],
    ),
    (
        BEGINNING + START + "    receivers: [r, s, r]\nreceivers: {r: &r {type: slack, channel: c}, s: *r}\n",
        ["9:23: models.m.receivers[2]: names 'r' a second time"],
    ),
    (
        WITHOUT_SLACK + START,
        ["8:14: warning: models.m.channel: this channel is never told: there is no `slack` section"],
    ),
    (
        WITHOUT_SLACK + START.replace("    channel: c\n", ""),
        ["5:3: warning: models.m: nobody is told about this model (give it a channel or receivers)"],
    ),
    (
        WITHOUT_SLACK + START.replace("channel: c", "receivers: r") + "receivers: {r: {type: slack, channel: c}}\n",
        ["9:13: warning: receivers.r: is never told: there is no `slack` section"],
    ),
    (
        BEGINNING.replace("k", "k", 1).replace("kafka:9092", "k:1, security_protocol: SASL_SSL") + START,
        ["2:52: kafka.security_protocol: SASL_SSL needs kafka.sasl"],
    ),
    (
        BEGINNING.replace("kafka:9092", "k:1, ssl: {}, sasl: {mechanism: PLAIN, username: u, password: p}") + START,
        [
            "2:33: kafka.ssl: is not used with the security protocol PLAINTEXT (SSL or SASL_SSL)",
            "2:42: kafka.sasl: is not used with the security protocol PLAINTEXT (SASL_SSL or SASL_PLAINTEXT)",
        ],
    ),
    (
        BEGINNING
        + START
        + "  n:\n    predictions: {topic: [t, u], where: {a: b}}\n    reference: {uri: r.csv}\n    channel: c\n",
        [
            (
                "6:26: warning: models.m.predictions.topic: reads the whole topic t, which n reads too "
                "(say which messages are this model's: where: {field: value})"
            )
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), INSTALLATIONS)
def test_an_installation(problems_of: Problems, text: str, expected: list[str]) -> None:
    assert told(problems_of(text)) == expected


FINE = [
    START + "    columns: {overrides: {a: {method: 'evidently:anderson', range: [null, 1], threshold: 0}}}\n",
    START + "    window: {size: 90m, every: 30m, allowed_lateness: 0s, watermark_delay: 0s}\n",
    LABELLED.replace("{topic: t}", "{topic: t, fields: {score: s, prediction: null}}")
    + "    alerts: {quality: {brier: {worse_than_reference: 150%}}}\n",
    START.replace("{uri: r.csv}", "{uri: r.csv, fields: {label: y}}")
    + "    task: regression\n    alerts: {quality: {mae: {max: 1}}}\n",
    START + "    receivers: r\nreceivers: {r: {type: slack, channel: d, mention: here}}\n",
]


@pytest.mark.parametrize("text", FINE)
def test_nothing_to_complain_about(problems_of: Problems, text: str) -> None:
    assert problems_of(BEGINNING + text) == []
