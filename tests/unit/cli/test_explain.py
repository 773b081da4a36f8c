"""What `driftd explain` says of an incident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.cli import app
from daemon.incidents.incident import Incident
from daemon.schedule.recording import stored
from daemon.store import Store, incidents
from tests.unit.deliver.gallery import incidents as gallery

CONFIG = """
installation: test
kafka: {bootstrap_servers: "localhost:9"}
models:
  flight-delay:
    predictions: {topic: flights}
    reference: {uri: reference.parquet}
"""


def explained(folder: Path, incident: Incident) -> tuple[str, ...]:
    """A store that holds an incident; returns the words that explain it."""
    path = folder / "driftd.yaml"
    path.write_text(CONFIG)
    with Store.open(folder / "driftd.db", writer=True) as store, store.write() as conn:
        incidents.save_incident(conn, stored(incident))
    return "explain", incident.id, "--config", str(path)


def test_an_incident_shows_every_candidate_with_the_reason_of_its_rank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    incident = gallery()["cause_version"]
    words = explained(tmp_path, incident)
    assert app.invoke([*words]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("What may have brought it about"))
    version, column = (" ".join(line.split()) for line in lines[place + 2 : place + 4])
    assert version == "0.80 version 7 is new 2013-02-08 11:00 began with it, 100 % of the rows"
    assert column == "0.65 dep_delay > 60: 4 → 38 % 2013-02-08 05:00 PSI 12.3 times its limit, began with it"
    assert app.invoke([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [cause["kind"] for cause in found["causes"]] == ["version", "column"]
    assert found["causes"][0] == {
        "kind": "version",
        "text": "version 7 is new",
        "column": None,
        "at": "2013-02-08T11:00:00Z",
        "score": 0.8,
        "reason": "began with it, 100 % of the rows",
    }


def test_that_nothing_is_known_to_have_changed_is_said_and_that_nobody_looked_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, said in (("cause_unknown", True), ("prediction_drift", False)):
        (tmp_path / name).mkdir()
        assert app.invoke([*explained(tmp_path / name, gallery()[name])]) == 0
        assert ("Nothing that changed at about that time is known" in capsys.readouterr().out) is said
