"""The command line: where options may stand, how errors end, what is printed."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import app, output, times
from daemon.cli.errors import Exit, Unreachable
from daemon.store import Store, dead_letters
from daemon.store.dead_letters import DeadLetter
from detectors.instants import parse_rfc3339

CONFIG = """
installation: test
kafka: {bootstrap_servers: "localhost:9"}
models:
  orders:
    predictions: {topic: orders}
    reference: {uri: reference.parquet}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "driftd.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store beside the configuration."""
    with Store.open(tmp_path / "driftd.db", writer=True):
        return tmp_path


def run(*arguments: str | Path) -> int:
    return app.invoke([str(argument) for argument in arguments])


@pytest.mark.parametrize("module", [output, times])
def test_the_examples_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_common_options_stand_before_the_verb_or_after_it(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run("--config", config, "--format", "json", "config", "show") == 0
    before = capsys.readouterr().out
    assert run("config", "show", "--format", "json", "--config", config) == 0
    assert capsys.readouterr().out == before
    monkeypatch.setenv("DRIFTD_CONFIG", str(config))
    assert run("config", "show", "-f", "json") == 0
    assert capsys.readouterr().out == before
    monkeypatch.delenv("DRIFTD_CONFIG")
    monkeypatch.chdir(tmp_path)
    assert run("config", "show", "-f", "json") == 0
    assert capsys.readouterr().out == before
    assert json.loads(before)["installation"] == "test"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], Exit.USAGE, "No such command 'nonsense'"),
        (["results", "--nonsense"], Exit.USAGE, "No such option: --nonsense"),
        (["results", "--format", "xml"], Exit.USAGE, "'xml' is not one of"),
        (["dead-letters", "show", "seven"], Exit.USAGE, "Invalid value for 'ID'"),
        (["results", "--config", "nowhere.yaml"], Exit.CONFIGURATION, "nowhere.yaml"),
    ],
)
def test_what_cannot_be_done_is_said_on_stderr(
    arguments: list[str], code: Exit, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == code
    out, err = capsys.readouterr()
    assert (out, "Traceback" in err) == ("", False)
    assert said in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["results"], Exit.UNREACHABLE, "there is no store at"),
        (["status"], Exit.UNREACHABLE, "`driftd run` makes it"),
        (["results", "--model", "order"], Exit.USAGE, "no model 'order'; did you mean orders?"),
        (["results", "--since", "yesterday"], Exit.USAGE, "--since yesterday: not an instant"),
        (["config", "show", "nothing"], Exit.USAGE, "there are: orders"),
        (["config", "show", "nothing", "--origin"], Exit.USAGE, "nothing"),
        (["store", "migrate"], Exit.UNREACHABLE, "no store"),
        (["store", "backup", "/nowhere/copy.db"], Exit.USAGE, "there is no folder /nowhere"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(
    config: Path, arguments: list[str], code: Exit, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--config", config, *arguments) == code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert said in err


def test_a_mistake_of_our_own_is_a_sentence_too(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("a bolt is loose")

    monkeypatch.setattr("daemon.config.load.load_leniently", broken)
    assert run("--config", config, "results") == Exit.INTERNAL
    assert "an error of driftd's own: RuntimeError: a bolt is loose" in capsys.readouterr().err
    monkeypatch.setenv("DRIFTD_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        run("--config", config, "results")


def test_an_interrupt_and_a_closed_pipe_are_no_errors(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for raised, code in ((KeyboardInterrupt(), Exit.INTERRUPTED), (Unreachable("no answer"), Exit.UNREACHABLE)):

        def broken(*_: object, raised: BaseException = raised, **__: object) -> object:
            raise raised

        monkeypatch.setattr("daemon.config.load.load_leniently", broken)
        assert run("--config", config, "results") == code


def test_a_reader_that_has_seen_enough_gets_no_error(store: Path, config: Path) -> None:
    with Store.open(store / "driftd.db", writer=True) as opened, opened.write() as conn:
        letter = DeadLetter("orders", "orders", 0, 1, 2, "not_json", "x" * 500, b"{" * 4000, 0)
        dead_letters.add(conn, [letter] * 500)
    command = [sys.executable, "-m", "daemon.cli", "dead-letters", "list", "-f", "json", "--limit", "500", "-c", config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_check_says_everything_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "driftd.yaml"
    path.write_text(CONFIG.replace("topic: orders", "topik: orders").replace("uri", "url"))
    assert run("check", "--config", path) == Exit.CONFIGURATION
    out = capsys.readouterr().out
    assert f"{path}:6:" in out
    assert f"{path}:7:" in out
    assert run("check", "--config", path, "--format", "json") == Exit.CONFIGURATION
    assert len(json.loads(capsys.readouterr().out)["problems"]) >= 2


def test_check_of_a_sound_configuration(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--config", config) == Exit.FINE
    assert "is fine: one model" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["check", "--live"], ["run", "--until-end"]])
def test_without_kafka_there_is_one_sentence_and_not_exit_code_1(config: Path, arguments: list[str]) -> None:
    # As a process of its own: a client that finds no broker leaves its sockets to the garbage collector.
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli", *arguments, "--config", config],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.UNREACHABLE
    assert "localhost:9" in done.stderr
    assert "Traceback" not in done.stderr
    if "--live" in arguments:
        assert "orders: the reference cannot be used" in done.stderr


def test_dead_letters_show_their_coordinates_and_cannot_steer_a_terminal(
    store: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = parse_rfc3339("2013-02-08T05:00:00Z")
    with Store.open(store / "driftd.db", writer=True) as opened, opened.write() as conn:
        dead_letters.add(
            conn,
            [
                DeadLetter("orders", "orders", 2, 40, 41, "not_json", "expected a value", b"\x1b[31m\xffred", at),
                DeadLetter(None, "orders", 0, 7, 12, "corrupt_batch", "bad CRC", None, at),
            ],
        )
    assert run("dead-letters", "list", "--config", config) == 0
    out = capsys.readouterr().out
    assert "orders[2]@40 " in out
    assert "orders[0]@7-11 " in out
    assert run("dead-letters", "show", "1", "--config", config) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[31m\\xffred" in out
    assert run("dead-letters", "show", "9", "--config", config) == Exit.USAGE


def test_a_backup_is_a_store_of_its_own(store: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = store / "copy.db"
    assert run("store", "backup", copy, "--config", config) == 0
    Store.open(copy, writer=False).close()
    assert run("store", "backup", copy, "--config", config) == Exit.USAGE
    assert "exists already" in capsys.readouterr().err


def test_migrating_names_the_holder(store: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("store", "migrate", "--config", config) == 0
    assert "is up to date" in capsys.readouterr().out
    with Store.open(store / "driftd.db", writer=True, holder="driftd run"):
        assert run("store", "migrate", "--config", config) == Exit.STORE_HELD
        assert "driftd run" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_status_of_a_store_without_a_row(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "--config", config) == 0
    assert "orders  starting" in capsys.readouterr().out
    assert run("status", "--config", config, "--format", "json", "--verify") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["daemon"], found["books_violated"]) == ("not running", [])


@pytest.mark.usefixtures("store")
def test_explain_knows_incidents_and_models_only(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "orders", "--config", config) == 0
    assert "no reference yet" in capsys.readouterr().out
    assert run("explain", "inc-nothing", "--config", config) == Exit.USAGE
    assert "neither an incident nor a model 'inc-nothing'; there are: orders" in capsys.readouterr().err


def test_version_is_quick_because_it_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom daemon.cli.app import invoke\ninvoke(['version'])\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'kafka', 'sqlalchemy', 'evidently'} & set(sys.modules)\n"
        "sys.exit(f'{heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("driftd ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "the file is empty"),
        (b"installation: caf\xe9", "is not UTF-8"),
        (b"installation: " + b"[" * 100, "is nested more than 40 levels deep"),
    ],
    ids=["missing", "empty", "not UTF-8", "too deep"],
)
def test_a_file_that_cannot_be_read_at_all_is_a_mistake_like_any_other(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "driftd.yaml"
    if content is not None:
        path.write_bytes(content)
    assert run("check", "--config", path) == Exit.CONFIGURATION
    assert said in capsys.readouterr().out
    assert run("check", "--config", path, "--format", "json") == Exit.CONFIGURATION
    assert said in json.loads(capsys.readouterr().out)["problems"][0]["message"]
