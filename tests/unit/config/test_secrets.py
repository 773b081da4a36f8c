"""Variables and secrets: where they come from, and that they go nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.errors import ConfigurationError
from daemon.config.variables import VariableError, substitute
from tests.support.configuration import load
from tests.unit.config.texts import MODEL, Problems, told

HEAD = "installation: a\nkafka: {bootstrap_servers: k:1}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${NONE:-d}", "d"),
        ("${NONE:-}", ""),
        ("$${A}", "${A}"),
        ("pa$$word", "pa$word"),
        ("pa$word $5", "pa$word $5"),
        ("${NESTED}", "${A}"),
    ],
)
def test_substitute(text: str, expected: str) -> None:
    assert substitute(text, {"A": "1", "EMPTY": "", "NESTED": "${A}"}) == expected


@pytest.mark.parametrize("text", ["${NONE}", "${", "${A", "${1A}", "${A:?x}", "${}"])
def test_substitute_refuses(text: str) -> None:
    with pytest.raises(VariableError):
        substitute(text, {"A": "1"})


def test_a_variable_is_read_after_the_yaml(tmp_path: Path) -> None:
    file = tmp_path / "driftd.yaml"
    file.write_text(
        HEAD.replace("k:1", '"${SERVERS}"') + MODEL + '    window: {min_rows: "${ROWS:-300}"}\n    mention: ${WHO}\n'
        "    positive_label: ${LABEL}\n"
    )
    settings = load(file, environ={"SERVERS": "a:1, b:2", "WHO": "007", "LABEL": "a: [2"})
    assert settings.kafka.bootstrap_servers == ("a:1", "b:2")
    assert settings.models["m"].window.min_rows == 300
    assert settings.models["m"].mention == "007"
    assert settings.models["m"].positive_label == "a: [2"


def test_a_secret_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("xoxb-1\r\n")
    file = tmp_path / "driftd.yaml"
    file.write_text(HEAD + 'slack: {bot_token_file: "${FOLDER:-.}/token"}\n' + MODEL)
    settings = load(file, environ={})
    assert settings.slack is not None
    assert settings.slack.bot_token.get_secret_value() == "xoxb-1"
    assert "xoxb-1" not in f"{settings!r} {settings} {settings.model_dump_json()}"


MISTAKES = [
    (
        "slack: {bot_token_file: absent}",
        "3:25: slack.bot_token_file: the secret's file {folder}/absent cannot be read: No such file or directory",
    ),
    (
        "slack: {bot_token_file: .}",
        "3:25: slack.bot_token_file: the secret's file {folder} cannot be read: Is a directory",
    ),
    ("slack: {bot_token_file: empty}", "3:25: slack.bot_token_file: the secret's file {folder}/empty is empty"),
    ("slack: {bot_token_file: binary}", "3:25: slack.bot_token_file: the secret's file {folder}/binary is not UTF-8"),
    ("slack: {bot_token_file: large}", "3:25: slack.bot_token_file: the secret's file {folder}/large is too large"),
    ("slack: {bot_token_file: [a]}", "3:9: slack.bot_token_file: must be a file's path"),
    ("slack: {bot_token_file: }", "3:24: slack.bot_token_file: must be a file's path"),
    (
        "slack: {bot_token: x, bot_token_file: y}",
        "3:23: slack.bot_token_file: bot_token and bot_token_file are both given (keep one of them)",
    ),
    ("slack: {}", "3:1: slack.bot_token: is required"),
    ("slack: {bot_token: ''}", "3:20: slack.bot_token: must not be empty"),
    ("slack: {bot_token: }", "3:19: slack.bot_token: must be text, not nothing"),
    ("slack: {bot_tokn: x}", "3:9: slack.bot_tokn: unknown key 'bot_tokn' (did you mean bot_token?)"),
    (
        'slack: {bot_token: "${T}"}',
        "3:20: slack.bot_token: the environment variable T is not set (set it, or write ${T:-default})",
    ),
    (
        'slack: {bot_token: "${T"}',
        "3:20: slack.bot_token: a variable is written wrongly (${NAME} or ${NAME:-default}; $$ is a dollar sign)",
    ),
    (
        "slack: {bot_token: ${T}}",
        "3:21: not valid YAML: expected ',' or '}', but got '{' (write \"${NAME}\" in quotes)",
    ),
    ("slack: xoxb-secret", "3:8: slack: must be a mapping of keys to values, not text"),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_mistakes(tmp_path: Path, problems_of: Problems, text: str, expected: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    found = told(problems_of(HEAD + text + "\n" + MODEL))
    assert found == [expected.replace("{folder}", str(tmp_path))]


def test_without_secrets_nothing_secret_is_needed(problems_of: Problems) -> None:
    text = HEAD + 'slack: {bot_token: "${T}"}\nreceivers: {r: {type: webhook, url_file: /nowhere/url}}\n' + MODEL
    assert problems_of(text, secrets=False) == []
    assert len(problems_of(text)) == 2
    # Anything else is needed all the same.
    assert len(problems_of(text.replace("k:1", '"${K}"'), secrets=False)) == 1


def test_no_secret_is_in_an_error(tmp_path: Path) -> None:
    file = tmp_path / "driftd.yaml"
    sasl = "sasl: {mechanism: NONE, username: [], password: hunter2}"
    file.write_text(f"installation: a\nkafka: {{bootstrap_servers: [], {sasl}}}\nslack: {{bot_token: hunter2, x: 1}}\n")
    with pytest.raises(ConfigurationError) as refusal:
        load(file, environ={})
    assert "hunter2" not in repr(refusal.value.problems)
    assert len(refusal.value.problems) == 5
