"""Text for Slack: escaped, so that nothing which came in a message can forge markup, a link or a mention."""

from __future__ import annotations

import re
import unicodedata

_WORD_JOINER = "\u2060"
# Look-alikes: invisible characters beside a mark do not keep Slack from seeing it.
_MARKS = str.maketrans({"*": "\u2217", "~": "\u223c", "`": "\u02cb"})
_ITALIC = re.compile(r"(?<![A-Za-z0-9])_(?=\S)(.*?\S)_(?![A-Za-z0-9])")
_EMOJI = re.compile(r"(?<!\d):(?=[a-z0-9_+'-]+:)")
_USER = re.compile(r"[UW][A-Z0-9]{2,}")
_GROUP = re.compile(r"S[A-Z0-9]{2,}")


def printable(text: str, limit: int = 200) -> str:
    """One line without control and direction characters, cut to `limit` characters.

    >>> printable("a\\nb\\u202ec")
    'a bc'
    """
    kept = (
        " " if character in "\n\r\t\u2028\u2029" else character
        for character in text
        if character in "\n\r\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    return cut("".join(kept), limit)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def escape(text: str, limit: int = 400) -> str:
    """Plain text as mrkdwn that reads the same: `&<>` as entities, marks as look-alikes, emoji codes broken.

    An underscore inside a word, or alone, is no mark to Slack: names of columns stay as they are and can be copied.

    >>> escape("a < b & dep_delay of _id")
    'a &lt; b &amp; dep_delay of _id'
    >>> escape("<!channel> *now* _or_ `never`")
    '&lt;!channel&gt; ∗now∗ ˍorˍ ˋneverˋ'
    """
    text = printable(text, limit).translate(_MARKS)
    text = _ITALIC.sub("\u02cd\\1\u02cd", text)
    text = _EMOJI.sub(":" + _WORD_JOINER, text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str, limit: int) -> str:
    """Text for a `plain_text` object: only emoji codes mean something there."""
    return cut(_EMOJI.sub(":" + _WORD_JOINER, printable(text, limit)), limit)


def code(text: str) -> str:
    """A command to copy.

    >>> code("driftd explain inc-4f2a")
    '`driftd explain inc-4f2a`'
    """
    inside = printable(text).replace("`", "'")
    return "`" + inside.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") + "`"


def link(url: str, label: str) -> str:
    """A link with a label; a URL that could end the link early is shown as text."""
    if not re.fullmatch(r"https?://[^\s<>|]+", url):
        return escape(f"{label} {url}")
    return f"<{url.replace('&', '&amp;')}|{escape(label)}>"


def mention(who: str) -> str:
    """A user, a user group, `here` or `channel` as Slack spells a mention; anything else as text.

    >>> mention("S0123"), mention("U0AB1"), mention("@here"), mention("the team")
    ('<!subteam^S0123>', '<@U0AB1>', '<!here>', 'the team')
    """
    name = who.strip().removeprefix("@")
    if _GROUP.fullmatch(name):
        return f"<!subteam^{name}>"
    if _USER.fullmatch(name):
        return f"<@{name}>"
    return f"<!{name}>" if name in ("here", "channel", "everyone") else escape(who)
