"""A folder with one file a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.errors import ConfigurationError
from daemon.config.load import load_leniently
from tests.support.configuration import load
from tests.unit.config.texts import BEGINNING, MODEL, told

BODY = "predictions: {topic: u}\nreference: {uri: r.csv}\nchannel: c\n"


def test_models_in_the_file_beside_it_and_in_the_folder_below(tmp_path: Path) -> None:
    (tmp_path / "driftd.yaml").write_text(BEGINNING + "defaults: {window: {size: 2d}}\n" + MODEL)
    (tmp_path / "flat.yml").write_text(BODY)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "deep.yaml").write_text(BODY.replace("topic: u", "topic: v"))
    (tmp_path / "notes.txt").write_text("not a model")
    settings = load(tmp_path, environ={})
    assert sorted(settings.models) == ["deep", "flat", "m"]
    assert {model.window.size.days for model in settings.models.values()} == {2}
    assert settings.models["deep"].reference.uri == str(tmp_path / "r.csv")


def test_the_copies_that_kubernetes_keeps_are_skipped(tmp_path: Path) -> None:
    # Given a mounted ConfigMap: links into a folder whose name begins with two dots.
    copies = tmp_path / "..2026_01_01"
    copies.mkdir()
    (copies / "driftd.yaml").write_text(BEGINNING)
    (copies / "m.yaml").write_text(BODY)
    (tmp_path / "..data").symlink_to(copies.name)
    (tmp_path / "..old.yaml").write_text("nonsense")
    for name in ("driftd.yaml", "m.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    assert list(load(tmp_path, environ={}).models) == ["m"]


def test_a_mistake_names_the_model_s_own_file(tmp_path: Path) -> None:
    (tmp_path / "driftd.yaml").write_text(BEGINNING + MODEL)
    (tmp_path / "bad.yaml").write_text(BODY + "window: {size: 1x}\nwindo: 1\n")
    (tmp_path / "worse.yaml").write_text("predictions: [\n")
    (tmp_path / "worst.yaml").write_text("")
    loaded = load_leniently(tmp_path, environ={})
    assert list(loaded.settings.models) == ["m"]
    assert [(problem.file, problem.model) for problem in loaded.problems] == [
        (str(tmp_path / "bad.yaml"), "bad"),
        (str(tmp_path / "bad.yaml"), "bad"),
        (str(tmp_path / "worse.yaml"), "worse"),
        (str(tmp_path / "worst.yaml"), "worst"),
    ]
    assert told(loaded.problems) == [
        "4:16: models.bad.window.size: '1x' has the unknown unit 'x'; the units are ms, s, m, h and d",
        "5:1: models.bad.windo: unknown key 'windo' (did you mean window?)",
        "2:1: models.worse: not valid YAML: expected the node content, but found '<stream end>'",
        "1:1: models.worst: the file is empty",
    ]


@pytest.mark.parametrize("second", ["m.yaml", "models/m.yaml"])
def test_a_model_that_is_configured_twice(tmp_path: Path, second: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "driftd.yaml").write_text(BEGINNING + MODEL)
    (tmp_path / second).write_text(BODY)
    with pytest.raises(ConfigurationError) as refusal:
        load(tmp_path, environ={})
    first = f"{tmp_path / 'driftd.yaml'}:5"
    assert told(refusal.value.problems) == [
        f"1:1: models.m: the model 'm' is configured twice (the first is in {first})"
    ]


def test_a_folder_without_its_main_file(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(BODY)
    with pytest.raises(ConfigurationError, match=r"No such file or directory \(a folder needs a driftd.yaml\)"):
        load(tmp_path, environ={})
