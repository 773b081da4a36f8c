"""The format `json`: one object a message, fields found by dotted path."""

from daemon.stream.formats.json.decoder import JsonDecoder

__all__ = ["JsonDecoder"]
