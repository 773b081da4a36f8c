"""Files, and the lines that a person reads about them."""

from __future__ import annotations

import pickle
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.config.errors import ConfigurationError
from daemon.config.load import load_again, load_leniently
from tests.support.configuration import load
from tests.unit.config.texts import BEGINNING, MODEL, Problems, told

# What stands behind BEGINNING (three lines), and the lines expected about it.
MISTAKES: list[tuple[str, list[str]]] = [
    (
        "slak: 1\n" + MODEL,
        ["4:1: slak: unknown key 'slak' (did you mean slack?)"],
    ),
    (
        MODEL + "    predictoins: {topic: u}\n",
        ["9:5: models.m.predictoins: unknown key 'predictoins' (did you mean predictions?)"],
    ),
    (
        "models:\n  m: {predictions: {topc: t}, reference: {uri: r.csv}, channel: c}\n",
        ["5:21: models.m.predictions.topc: unknown key 'topc' (did you mean topic?)"],
    ),
    (
        "store: {xyzzy: 1}\n" + MODEL,
        ["4:9: store.xyzzy: unknown key 'xyzzy' (the keys here are checkpoint, path, retention)"],
    ),
    (
        "store: {checkpoint: 10 sec}\n" + MODEL,
        ["4:21: store.checkpoint: '10 sec' has the unknown unit 'sec'; the units are ms, s, m, h and d"],
    ),
    (
        "http: {listen: nonsense}\n" + MODEL,
        ["4:16: http.listen: must be ADDRESS:PORT, such as 0.0.0.0:8080 or [::]:8080, not 'nonsense'"],
    ),
    (
        MODEL + "    runbook: example.com\n",
        ["9:14: models.m.runbook: must be an address that begins with http:// or https://, not 'example.com'"],
    ),
    ("clock: sundial\n" + MODEL, ["4:8: clock: must be wall or event, not 'sundial'"]),
    ("version: 2\n" + MODEL, ["4:10: version: must be 1, not 2"]),
    ("store: [a]\n" + MODEL, ["4:1: store: must be a mapping of keys to values, not a list"]),
    ("receivers: {r: xoxb-secret}\n" + MODEL, ["4:16: receivers.r: must be a mapping of keys to values, not text"]),
    ("receivers: {r: {url: x}}\n" + MODEL, ["4:13: receivers.r: needs the key type"]),
    (
        "receivers: {r: {type: webhok, url: x}}\n" + MODEL,
        ["4:13: receivers.r: must be webhook or slack, not 'webhok' (did you mean webhook?)"],
    ),
    ("receivers: {r: {type: webhook}}\n" + MODEL, ["4:13: receivers.r.url: is required"]),
    ("", ["1:1: models: names no model"]),
    ("---\n" + MODEL, ["4:1: a second document begins here (a configuration file holds one document)"]),
    (
        "models:\n  m:\n\tpredictions: {topic: t}\n\tchannel: c\n",
        [
            "6:1: a tab stands where YAML allows only spaces (indent with spaces)",
            "7:1: a tab stands where YAML allows only spaces (indent with spaces)",
        ],
    ),
    (
        "models:\n\tm: {predictions: {topic: t}, channel: c}\n",
        ["5:1: a tab stands where YAML allows only spaces (indent with spaces)"],
    ),
    ("models:\n", ["4:1: models: names no model"]),
    ("models: {}\n", ["4:1: models: names no model"]),
    ("models: [m]\n", ["4:1: models: must be a mapping of names to models"]),
    (
        "models:\n  a b: {predictions: {topic: t}, reference: {uri: r.csv}, channel: c}\n",
        [
            (
                "5:3: models.a b: 'a b' cannot be a model's name "
                "(letters, digits, dots, dashes and underscores, at most 100)"
            )
        ],
    ),
    (
        "models:\n  m: {predictions: {topic: [t, 5]}, reference: {uri: r.csv}, channel: c, segments: {min_rows: 0}}\n",
        [
            "5:32: models.m.predictions.topic[1]: must be text, not 5 (put it in quotes)",
            "5:95: models.m.segments.min_rows: must be at least 1, not 0",
        ],
    ),
    (
        (
            "models:\n  m: {predictions: {topic: t}, channel: c, "
            "columns: {overrides: {x: {missing: {max: .nan}}}}, receivers: q}\n"
        ),
        [
            (
                "5:85: models.m.columns.overrides.x.missing.max: "
                "must be between 0 and 1, or between 0% and 100%, not .nan"
            ),
            "5:95: models.m.receivers[0]: there is no receiver 'q' (none is defined)",
        ],
    ),
    (
        "models:\n  m: {predictions: {topic: []}, reference: {uri: ''}, channel: c, window: {min_rows: few}}\n",
        [
            "5:21: models.m.predictions.topic: must not be empty",
            "5:50: models.m.reference.uri: must not be empty",
            "5:86: models.m.window.min_rows: must be a whole number, not 'few'",
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_mistakes(problems_of: Problems, text: str, expected: list[str]) -> None:
    assert told(problems_of(BEGINNING + text)) == expected


EVERYTHING = [
    "1:15: installation: the environment variable INSTALLATION is not set",
    "2:40: kafka.bootstrap_servers: the key 'bootstrap_servers' stands here a second time",
    "3:25: slack.bot_token_file: the secret's file /nowhere/token cannot be read: No such file or directory",
    "4:21: store.checkpoint: '10 sec' has the unknown unit 'sec'; the units are ms, s, m, h and d",
    "5:1: bomb: unknown key 'bomb'",
    "10:21: bomb[4][3]: aliases expand to more than 50000 values",
    "12:1: a tab stands where YAML allows only spaces",
    "12:12: false_alarms.at_most: must be `N per day`, `N per week` or `N per month`, not 'often'",
    "13:1: heartbeat: a heartbeat to another service is not available in this version",
    "15:18: defaults.window.size: must be a multiple of `every`, 5h, not 1d",
    "18:26: warning: models.a.predictions.topic: reads the whole topic t, which b reads too",
    "20:24: models.a.alerts.quality.mae: a limit of quality needs a task",
    "22:26: warning: models.b.predictions.topic: reads the whole topic t, which a reads too",
    "23:20: models.b.window.size: '20 windows' has the unknown unit 'windows'; the units are ms, s, m, h and d",
    "25:39: models.b.columns.overrides.y.method: unknown method 'pis'",
    "26:5: models.b.receivers[0]: there is no receiver 'nobody'",
]


def test_every_kind_of_mistake_is_reported_in_one_run(problems_of: Problems) -> None:
    text = """\
installation: ${INSTALLATION}
kafka: {bootstrap_servers: kafka:9092, bootstrap_servers: twice}
slack: {bot_token_file: /nowhere/token}
store: {checkpoint: 10 sec}
bomb:
  - &a [x, x, x, x, x, x, x, x, x, x]
  - &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
  - &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
  - &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
  - &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
false_alarms:
	at_most: often
heartbeat: {every: 1m}
defaults:
  window: {size: 1d, every: 5h}
models:
  a:
    predictions: {topic: t}
    channel: c
    alerts: {quality: {mae: {max: 1}}}
  b:
    predictions: {topic: t}
    window: {size: 20 windows}
    reference: {uri: r.csv}
    columns: {overrides: {y: {method: pis}}}
    receivers: nobody
"""
    assert [line.partition(" (")[0] for line in told(problems_of(text))] == EVERYTHING


def test_a_model_without_a_reference_takes_its_first_windows(problems_of: Problems) -> None:
    text = "models:\n  m: {predictions: {topic: t}, channel: c, window: {size: 7h, every: 2h}}\n"
    assert [line.partition(" (")[0] for line in told(problems_of(BEGINNING + text))] == [
        "5:59: models.m.window.size: must be a multiple of `every`, 2h, not 7h",
    ]


def test_a_mistake_in_the_defaults_is_told_once_and_where_it_stands(problems_of: Problems) -> None:
    text = "defaults: {window: {size: 1 day}}\nmodels:\n"
    text += "".join(
        f"  {name}: {{predictions: {{topic: {name}}}, reference: {{uri: r.csv}}, channel: c}}\n" for name in "abc"
    )
    found = told(problems_of(BEGINNING + text))
    assert found == ["4:27: defaults.window.size: '1 day' has the unknown unit 'day'; the units are ms, s, m, h and d"]


def test_defaults_are_checked_even_where_no_model_uses_them(problems_of: Problems) -> None:
    text = "defaults: {window: {size: 1 day}}\n" + MODEL + "    window: {size: 1d}\n"
    assert [line.split(":")[0] for line in told(problems_of(BEGINNING + text))] == ["4"]


def test_the_model_is_laid_upon_the_defaults_key_by_key(tmp_path: Path) -> None:
    file = tmp_path / "driftd.yaml"
    defaults = """\
defaults:
  predictions: {start: 14d, where: {stage: live}}
  columns: {exclude: [a, b]}
  labels: {topic: l}
  task: regression
"""
    model = """\
models:
  m:
    predictions: {topic: t, where: {model: 007}}
    reference: {uri: file:///data/r.parquet}
    columns: {exclude: c}
    labels: null
    window:
"""
    file.write_text(BEGINNING + defaults + model)
    found = load(file, environ={}).models["m"]
    assert found.predictions.start == timedelta(days=14)
    assert found.predictions.where == {"stage": "live", "model": "007"}
    assert found.columns.exclude == ("c",)
    assert found.labels is None
    assert found.window.size == timedelta(days=1)
    assert found.reference.uri == "file:///data/r.parquet"


def test_a_bad_model_is_left_out_and_the_others_run(tmp_path: Path) -> None:
    file = tmp_path / "driftd.yaml"
    file.write_text(
        BEGINNING + MODEL + "  bad: {predictions: {topic: u}, reference: {uri: r.csv}, window: {size: 1x}}\n"
    )
    loaded = load_leniently(file, environ={})
    assert list(loaded.settings.models) == ["m"]
    assert [problem.model for problem in loaded.problems if problem.severity == "error"] == ["bad"]
    with pytest.raises(
        ConfigurationError, match=r"driftd\.yaml:9:74: models\.bad\.window\.size: '1x' has the unknown unit"
    ):
        load(file, environ={})


def test_a_model_that_has_become_bad_keeps_its_settings_while_they_go_with_the_rest(tmp_path: Path) -> None:
    # Given two models that run, of which one tells a receiver
    file = tmp_path / "driftd.yaml"
    receivers = "receivers: {r: {type: slack, channel: c}}\n"
    told = "  told: {predictions: {topic: u}, channel: c, receivers: r%s}\n"
    file.write_text(BEGINNING + receivers + MODEL + told % "")
    running = load_leniently(file, environ={}).settings
    wrong = ", window: {size: 1x}"
    # When both are written wrongly, and one more is written right
    both = MODEL + f"    {wrong[2:]}\n" + told % wrong
    file.write_text(BEGINNING + receivers + both + "  new: {predictions: {topic: v}, channel: c}\n")
    again = load_again(file, environ={}, running=running)
    # Then all three run, two of them as before
    assert list(again.settings.models) == ["m", "told", "new"]
    assert (again.settings.models["m"], again.settings.models["told"]) == (running.models["m"], running.models["told"])
    assert [problem.model for problem in again.problems if problem.severity == "error"] == ["m", "told"]
    # When what one of them refers to is gone, that one does not go on
    file.write_text(BEGINNING + both)
    assert list(load_again(file, environ={}, running=running).settings.models) == ["m"]
    # and one that is not configured any more does not either
    file.write_text(BEGINNING + MODEL)
    assert list(load_again(file, environ={}, running=running).settings.models) == ["m"]


@pytest.mark.parametrize("mistake", ["clock: sundial\n", "defaults: {window: {size: 1x}}\n", "nonsense: 1\n"])
def test_a_mistake_outside_the_models_stops_everything(tmp_path: Path, mistake: str) -> None:
    file = tmp_path / "driftd.yaml"
    file.write_text(BEGINNING + mistake + MODEL)
    with pytest.raises(ConfigurationError) as refusal:
        load_leniently(file, environ={})
    assert len(refusal.value.problems) == 1
    assert pickle.loads(pickle.dumps(refusal.value)).problems == refusal.value.problems


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load(tmp_path / "absent.yaml", environ={})
    assert str(refusal.value) == f"{tmp_path / 'absent.yaml'}: cannot be read: No such file or directory"


def test_relative_paths_are_taken_from_the_configuration_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "token").write_text("xoxb-1\n")
    text = "installation: a\nkafka: {bootstrap_servers: k:1, security_protocol: SSL, ssl: {ca_file: ca.pem}}\n"
    (folder / "driftd.yaml").write_text(text + "slack: {bot_token_file: token}\n" + MODEL)
    monkeypatch.chdir(tmp_path)
    settings = load(Path("etc/driftd.yaml"), environ={})
    assert settings.store.path == folder / "driftd.db"
    assert settings.kafka.ssl is not None
    assert settings.kafka.ssl.ca_file == folder / "ca.pem"
    assert settings.models["m"].reference.uri == str(folder / "r.parquet")


def test_the_hash_names_everything_but_the_secrets(tmp_path: Path) -> None:
    file = tmp_path / "driftd.yaml"
    text = BEGINNING.replace("xoxb-test", "'${TOKEN}'") + MODEL
    file.write_text(text)
    first = load(file, environ={"TOKEN": "xoxb-1"})
    assert load(file, environ={"TOKEN": "xoxb-2"}).hash == first.hash
    assert len(first.hash) == 12
    file.write_text(text.replace("kafka:9092", "kafka:9093"))
    second = load(file, environ={"TOKEN": "xoxb-1"})
    assert second.hash != first.hash
    assert second.models["m"].hash == first.models["m"].hash
    # Written otherwise, meant the same.
    file.write_text("# a comment\n" + text + "    window: {every: 360m, size: 24h}\n")
    assert load(file, environ={"TOKEN": "xoxb-1"}).hash == first.hash


def test_settings_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    file = tmp_path / "driftd.yaml"
    file.write_text(BEGINNING + MODEL)
    settings = load(file, environ={})
    assert pickle.loads(pickle.dumps(settings)) == settings
