"""What Slack accepts: the limits of its documentation, as error codes."""

from __future__ import annotations

import json
from typing import Any

MAX_BLOCKS = 50
MAX_HEADER = 150
MAX_SECTION = 3_000
MAX_CONTEXT_ELEMENTS = 10
MAX_TEXT = 40_000
MAX_METADATA_BYTES = 8_000


def refusal(arguments: dict[str, Any]) -> str | None:
    """The error code for a message's text, blocks and metadata, or None when Slack would take it."""
    text, blocks, metadata = arguments.get("text"), arguments.get("blocks"), arguments.get("metadata")
    if not text and not blocks:
        return "no_text"
    if text is not None and (not isinstance(text, str) or len(text) > MAX_TEXT):
        return "msg_too_long"
    if blocks is not None:
        if not isinstance(blocks, list):
            return "invalid_blocks_format"
        if len(blocks) > MAX_BLOCKS or not all(_fits(block) for block in blocks):
            return "invalid_blocks"
    if metadata is not None:
        known = isinstance(metadata, dict) and isinstance(metadata.get("event_type"), str)
        if not known or not isinstance(metadata.get("event_payload"), dict):
            return "invalid_metadata_format"
        if len(json.dumps(metadata).encode()) > MAX_METADATA_BYTES:
            return "metadata_too_large"
    return None


def _fits(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    match block.get("type"):
        case "header":
            return _text(block.get("text"), MAX_HEADER, "plain_text")
        case "section":
            return _text(block.get("text"), MAX_SECTION, "plain_text", "mrkdwn")
        case "context":
            elements = block.get("elements")
            return (
                isinstance(elements, list)
                and 0 < len(elements) <= MAX_CONTEXT_ELEMENTS
                and all(_text(element, MAX_SECTION, "plain_text", "mrkdwn") for element in elements)
            )
        case "divider":
            return True
        case _:
            return False


def _text(value: Any, limit: int, *types: str) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") in types
        and isinstance(value.get("text"), str)
        and 0 < len(value["text"]) <= limit
        and not ("verbatim" in value and value["type"] != "mrkdwn")
        and not ("emoji" in value and value["type"] != "plain_text")
    )
