"""What can go wrong between a message and the store, apart from the messages themselves."""

from __future__ import annotations


class StreamError(Exception):
    """Base of every error of intake.

    StreamError
    ├── MappingError          a model's fields cannot be read from one message
    ├── CorruptSpec           a stored spec cannot be read
    ├── KafkaUnreachable      no broker answers: try again
    ├── TopicsMissing         a run that ends by itself has waited in vain for its topics
    ├── HistoryError          files of history cannot be used
    └── SpecsChanged          another spec came into force while rows waited in the buffer
    """


class MappingError(StreamError):
    """The configured fields contradict each other; the message names them."""


class CorruptSpec(StreamError):
    """A stored spec is none, or one of a newer program."""


class KafkaUnreachable(StreamError):
    """No broker answers; nothing was read."""


class TopicsMissing(StreamError):
    """A run that ends by itself has waited in vain for its topics; the message names them."""


class HistoryError(StreamError):
    """Files of history cannot be used; the message says which, and what to do."""


class SpecsChanged(StreamError):
    """The rows in the buffer were encoded for another spec than the one now in force: count them again."""
