"""`${NAME}` and `${NAME:-default}` in values; `$$` is a dollar sign."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<open>\{))"
)


class VariableError(ValueError):
    """A variable that is not set, or a reference that is written wrongly; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def has_variables(text: str) -> bool:
    """Whether `substitute` would change the text or refuse it."""
    return _REFERENCE.search(text) is not None


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """The text with its variables filled in; what they hold is not looked at again.

    >>> substitute("${HOST:-kafka}:9092 costs $$5", {})
    'kafka:9092 costs $5'
    """

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["open"]:
            raise VariableError("a variable is written wrongly", "${NAME} or ${NAME:-default}; $$ is a dollar sign")
        found = environ.get(match["name"])
        if match["default"] is not None:
            return found or match["default"]
        if found is None:
            name = match["name"]
            raise VariableError(f"the environment variable {name} is not set", f"set it, or write ${{{name}:-default}}")
        return found

    return _REFERENCE.sub(value, text)
