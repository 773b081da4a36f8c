"""Named things that register themselves: one file each, found by importing the folder that they stand in."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class UnknownName(LookupError):
    """A name that no file registered; the message lists those that exist and the nearest one."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        super().__init__(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}")
        self.kind, self.name, self.nearest = kind, name, nearest[0] if nearest else None


class Registry(Generic[T]):
    """Things of one kind by name, in the order of their names.

    The files of `package` are imported at the first look, so that adding one thing is adding one file.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._complete = False

    def add(self, name: str, entry: T) -> T:
        """Register `entry`; a name can be taken once."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that registers what it stands above."""
        return lambda entry: self.add(name, entry)

    def __getitem__(self, name: str) -> T:
        self._find()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(self.kind, name, self.names()) from None

    def __contains__(self, name: object) -> bool:
        self._find()
        return name in self._entries

    def __iter__(self) -> Iterator[T]:
        self._find()
        return (self._entries[name] for name in self.names())

    def names(self) -> tuple[str, ...]:
        self._find()
        return tuple(sorted(self._entries))

    def _find(self) -> None:
        if not self._complete:
            self._complete = True
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
