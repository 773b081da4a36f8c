"""What a checkout promises: it names no machine of ours, its targets explain themselves, its locks hold hashes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from deploy.kafka.local import CHECKOUT

# Put together here, so that this file does not name them either.
HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "registry." + "yarnpkg",
    "crates" + ".io",
    "proxy.go" + "lang.org",
    "repo.maven." + "apache",
    "repo1." + "maven",
    "deb." + "debian.org",
]
MACHINE_PATHS = [
    "/" + "root/",
    "/" + "work/main",
    "/" + "work/shared",
    "/" + "work/.library",
    "/" + "tmp/w/",
    "/" + "farm/",
]
FORBIDDEN = re.compile("|".join(map(re.escape, [*HOSTS, *MACHINE_PATHS])))
LOCKS = ["requirements.txt", "requirements-dev.txt"]
PIN = re.compile(r"^([a-z0-9._-]+)(\[[a-z0-9,_-]+\])?==(\S+)", re.MULTILINE)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.split("\0") if name and (path := CHECKOUT / name).is_file()]


def pins(lock: str) -> dict[str, str]:
    return {name: version for name, _, version in PIN.findall((CHECKOUT / lock).read_text())}


def test_no_tracked_file_names_a_registry_or_a_path_of_a_machine() -> None:
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}: {match[0]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="ignore").splitlines(), 1)
        if (match := FORBIDDEN.search(line))
    ]
    assert found == []


def test_every_target_has_a_description_or_is_a_step_of_one() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE))
    targets = dict(re.findall(r"^([a-z-]+):(.*)$", makefile, re.MULTILINE))
    assert set(targets) == phony
    undescribed = {name for name, text in targets.items() if not re.search(r" ## [A-Z].+[^.]$", text)}
    assert undescribed == {"check-tools", "check-python"}


def test_make_alone_lists_the_targets() -> None:
    listed = subprocess.run(["make"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    names = [line.split()[1] for line in listed.splitlines()]
    assert {"demo", "test", "lint", "format", "bench", "chaos", "kafka", "lock", "clean", "help"} <= set(names)
    assert all(len(line.split()) > 2 for line in listed.splitlines())


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_by_hash_and_names_no_index(lock: str) -> None:
    text = (CHECKOUT / lock).read_text()
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())
    assert len(entries) > 50
    for entry in entries:
        assert PIN.match(entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert not re.search(r"://|^\s*-(i|f|-index-url|-extra-index-url|-find-links|-trusted-host)\b", text, re.MULTILINE)


def test_what_the_tests_run_on_is_what_is_installed() -> None:
    runtime, development = (pins(lock) for lock in LOCKS)
    assert runtime.items() <= development.items()
    assert "setuptools" in runtime


def test_every_dependency_of_the_project_is_in_the_lock() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for lock, wanted in [
        ("requirements.txt", [*project["dependencies"], *extras["build"], *extras["postgres"]]),
        ("requirements-dev.txt", extras["dev"]),
    ]:
        names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in wanted}
        assert names - {project["name"]} <= set(pins(lock))


def prerequisites(*tools: str, path: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        ["sh", "deploy/kafka/prerequisites.sh", *tools],
        cwd=CHECKOUT,
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def only(directory: Path, *tools: str) -> str:
    """A PATH on which nothing but the given tools is found."""
    for tool in tools:
        found = shutil.which(tool)
        assert found is not None
        (directory / tool).symlink_to(found)
    return str(directory)


def test_each_missing_tool_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    status, said = prerequisites("python", "java", "mvn", path=only(tmp_path, "sh", "sed"))
    assert status == 1
    lines = said.splitlines()
    assert [re.search(r"Debian: (.*);", line)[1] for line in lines] == [  # type: ignore[index]
        "apt-get install python3 python3-venv",
        "apt-get install openjdk-17-jdk-headless",
        "apt-get install maven",
    ]
    assert all("macOS: brew install" in line for line in lines)


@pytest.mark.parametrize(("version", "status"), [("1.8.0_392", 1), ("11.0.21", 1), ("17.0.15", 0), ("25", 0)])
def test_an_old_java_is_as_good_as_none(tmp_path: Path, version: str, status: int) -> None:
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    assert prerequisites("java", path=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")[0] == status
