"""What can be wrong with a configuration, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, at one place of one file.

    `line` and `column` count from 1; line 0 means the file as a whole. `path` is the key path, empty for the file;
    `model` is the only model that the mistake concerns, None when it concerns the installation.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    model: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        words = [place, "warning"] if self.severity == "warning" else [place]
        if self.path:
            words.append(self.path)
        words.append(f"{self.message} ({self.hint})" if self.hint else self.message)
        return ": ".join(words)


def ordered(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once, by file, line and column."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line, problem.column)))


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` holds everything that is wrong with it, not only the first.

    ```
    ConfigurationError      exit code 78
    └── UnknownModel        a model was asked for that the configuration does not have: exit code 2
    ```
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = ordered(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class UnknownModel(ConfigurationError):
    """A model was asked for that the configuration does not have."""
