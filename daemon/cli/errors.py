"""What a verb may end with: an exit code and one sentence on stderr."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every verb; 1 is only ever the bad news that the verb exists to tell."""

    FINE = 0
    BAD_NEWS = 1
    USAGE = 2
    UNDECIDED = 3
    UNREACHABLE = 69
    INTERNAL = 70
    STORE_HELD = 75
    CONFIGURATION = 78
    INTERRUPTED = 130


class CommandError(Exception):
    """Base of what a verb raises: the message says what is wrong, where, and what to do.

    CommandError
      +- UsageError       2: the command line asks for what does not exist
      +- Undecided        3: it cannot be told yet
      +- Unreachable     69: something needed does not answer, or is not there
      +- StoreIsHeld     75: another process writes to the store
      +- Misconfigured   78: the configuration is wrong
    """

    code = Exit.INTERNAL


class UsageError(CommandError):
    """The command line asks for what does not exist."""

    code = Exit.USAGE


class Undecided(CommandError):
    """It cannot be told yet."""

    code = Exit.UNDECIDED


class Unreachable(CommandError):
    """Something needed does not answer, or is not there."""

    code = Exit.UNREACHABLE


class StoreIsHeld(CommandError):
    """Another process writes to the store."""

    code = Exit.STORE_HELD


class Misconfigured(CommandError):
    """The configuration is wrong."""

    code = Exit.CONFIGURATION
