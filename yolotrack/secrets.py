"""Masking of passwords and tokens, for everything that is shown, logged or stored.

Two kinds of URLs are told apart by their scheme:

- servers (`amqp`, `postgresql`...): the user's name, hosts and path are shown; the password and every parameter that
  is not known to be harmless are not;
- sources (`rtsp`, `http`...): cameras take passwords anywhere, in the path and under any key. Only the host and what
  is known to be harmless are shown: words such as `live`, short numbers, and the names of video files.

Where a URL can be read in more than one way, all of it is masked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from yolotrack.camera_words import FILE_KINDS, HARMLESS_KEYS, NUMBERS, SECRET_KEYS, WORDS, words

MASK = "***"

_SERVER = re.compile(r"(?:amqps?|postgres(?:ql)?|mysql|mariadb|mssql|oracle|rediss?|mqtts?)(?:\+\w+)?", re.IGNORECASE)
_ON_DISK = re.compile(r"(?:sqlite(?:\+\w+)?|file)", re.IGNORECASE)
_SERVER_KEYS = words(
    """application_name blocked_connection_timeout channel_max client_encoding connect_timeout connection_attempts
    dbname frame_max gssencmode heartbeat host hostaddr keepalives keepalives_idle load_balance_hosts locale mode
    options port prepare_threshold retry_delay schema socket_timeout sslcert sslmode sslrootcert stack_timeout
    target_session_attrs tcp_options timeout user"""
)
_HOSTS = re.compile(
    r"(?:(?:\[[0-9A-Fa-f:.%]+\]|[\w.-]+)?(?::\d{1,5})?)(?:,(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d{1,5})?)*"
)
_USER_AND_PASSWORD = re.compile(r"[^:/?#@]*:(?!\d{1,5}(?:[/?#,]|$))")
"""How a URL begins whose password comes first; a number would be a port."""
_LIKE_A_QUERY = re.compile(r"[?&;][\w.-]+=")
_BETWEEN_URLS = re.compile(r"\s*,\s*(?=amqps?://)", re.IGNORECASE)
_SEPARATORS = re.compile(r"([&;?,])")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*$")
_URL_IN_TEXT = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://"
    r"(?:[^\s:/?#@]*:(?!\d{1,5}(?:[\s/?#]|$))(?:(?!://)[^@\n])*@)?"  # a password may hold spaces
    r"\S*"
)
_AFTER_A_URL = "'\"`)]}>,.;:!"
_SECRET_KEY = (
    rf"(?:[\w.-]*(?:passw(?:or)?d|token|secret|signature|credential|api-?_?key)[\w.-]*|{'|'.join(SECRET_KEYS)})"
)
_PARAMETER = re.compile(rf"(?P<name>[?&;]{_SECRET_KEY}=)[^&;#\s\"'<>]+", re.IGNORECASE)
_PASSWORD_WORD = re.compile(
    r"(?P<name>\b(?:passw(?:or)?d|pwd)\s?=\s?)(?:'(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s&;'\"*]+)", re.IGNORECASE
)
_WORD_PARTS = re.compile(r"[A-Za-z]+|\d+|[^A-Za-z\d]")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, slots=True)
class _Parts:
    """A URL behind its `://`."""

    userinfo: str | None
    authority: str
    path: str
    query: str | None
    fragment: str | None


def urls_of(text: str) -> list[str]:
    """The URLs in a text that names the nodes of one broker, each by a URL of its own, with commas between."""
    return _BETWEEN_URLS.split(text.strip())


def mask_url(text: str) -> str:
    """`text`, one URL or those of `urls_of`, with all that may be secret replaced by `***`.

    What is no URL comes back as it is.
    """
    if len(urls := urls_of(text)) > 1:
        return ",".join(mask_url(url) for url in urls)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    kind = _SCHEME.search(scheme)
    kind_name = kind.group() if kind else ""
    if _ON_DISK.fullmatch(kind_name):
        return _PARAMETER.sub(rf"\g<name>{MASK}", text)
    server = _SERVER.fullmatch(kind_name) is not None
    parts = _split(rest, server=server)
    if parts is None:
        return f"{scheme}://{MASK}"
    return f"{scheme}://" + (_masked_server(parts) if server else _masked_source(parts, _masked_path))


def mask_text(text: str) -> str:
    """`text` with every URL within it masked, and every secret that this process was told to `remember`.

    URLs end at white space. Of the path of a `http` URL only `key=value` is masked, since most are documents; those
    of sources are remembered.
    """
    for known, shown in tuple(_remembered.items()):
        text = text.replace(known, shown)
    for secret in tuple(_secrets):
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", MASK, text)
    if "=" in text:
        text = _PASSWORD_WORD.sub(rf"\g<name>{MASK}", text)
    return _URL_IN_TEXT.sub(_masked_match, text) if "://" in text else text


def mask_name(name: str) -> str:
    """What was given as a source and is none: masked if it looks like a URL that was written wrongly."""
    if "://" in name:
        return mask_url(name)
    before, at, after = name.rpartition("@")
    shown = f"{MASK}@{after}" if at and ":" in before else name
    return _PARAMETER.sub(rf"\g<name>{MASK}", _PASSWORD_WORD.sub(rf"\g<name>{MASK}", shown))


_remembered: dict[str, str] = {}
"""URLs of this process as they are, and as they are shown."""
_secrets: set[str] = set()


def remember(url: str) -> str:
    """Have `mask_text` mask this URL wherever and however it is repeated; returns it masked.

    The text of drivers and FFmpeg repeats passwords decoded, quoted and out of their place.
    """
    masked = mask_url(url)
    if masked != url:
        _remembered[url] = masked
        _secrets.update(secret for part in _hidden(url) for secret in (part, unquote(part)) if _is_telling(secret))
    return masked


def remember_secret(secret: str) -> None:
    """Have `mask_text` mask this password wherever it stands."""
    if _is_telling(secret):
        _secrets.add(secret)


def name_parts(url: str) -> tuple[str, str]:
    """What a source's URL may be called after: its hosts without ports, and a harmless last word; each may be empty.

    The word is the name of a video file without its ending, or a word that cameras use in their paths.
    """
    parts = _split(url.partition("://")[2], server=False)
    if parts is None:
        return "", ""
    host = re.sub(r":\d+$", "", parts.authority) if _HOSTS.fullmatch(parts.authority) else ""
    shown = [segment for segment in _masked_path(parts.path).split("/") if segment]
    last = unquote(shown[-1]) if shown and shown[-1] != MASK and "=" not in shown[-1] else ""
    return host, re.sub(r"\.[A-Za-z]\w*$", "", last)


def is_file_url(url: str) -> bool:
    """Whether a source's URL ends in the name of a video file."""
    parts = _split(url.partition("://")[2], server=False)
    return parts is not None and _is_file(parts.path.rpartition("/")[2])


def _split(rest: str, *, server: bool) -> _Parts | None:
    """None where it cannot be told for certain what is a host and what a password."""
    before, at, after = rest.rpartition("@")
    if at and re.search(r"[/?#]", before):
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        readable = _USER_AND_PASSWORD.match(authority + "/") and (server or "@" not in authority)
        if not readable or _LIKE_A_QUERY.search(before):
            return None
    beyond, _, fragment = after.partition("#")
    hierarchy, _, query = beyond.partition("?")
    authority, slash, path = hierarchy.partition("/")
    return _Parts(
        before if at else None,
        authority,
        slash + path,
        query if "?" in beyond else None,
        fragment if "#" in after else None,
    )


def _masked_server(parts: _Parts) -> str:
    userinfo = ""
    if parts.userinfo is not None:
        user, colon, _ = parts.userinfo.partition(":")
        userinfo = (f"{user}:{MASK}" if colon else user) + "@"
    query = "" if parts.query is None else "?" + _each(parts.query, _masked_setting)
    return userinfo + _shown_hosts(parts) + _each(parts.path, _masked_setting) + query + _fragment(parts)


def _masked_source(parts: _Parts, masked_path: Callable[[str], str]) -> str:
    userinfo = "" if parts.userinfo is None else f"{MASK}@"
    query = "" if parts.query is None else "?" + _each(parts.query, _masked_pair)
    return userinfo + _shown_hosts(parts) + masked_path(parts.path) + query + _fragment(parts)


def _shown_hosts(parts: _Parts) -> str:
    return parts.authority if _HOSTS.fullmatch(parts.authority) else MASK


def _fragment(parts: _Parts) -> str:
    return "" if parts.fragment is None else f"#{MASK}"


def _each(text: str, masked: Callable[[str], str]) -> str:
    """Parameters, each masked, with what stood between them."""
    return "".join(part if number % 2 else masked(part) for number, part in enumerate(_SEPARATORS.split(text)))


def _masked_setting(pair: str) -> str:
    """A parameter of a server's URL."""
    key, equals, _ = pair.partition("=")
    return f"{key}={MASK}" if equals and key.lower() not in _SERVER_KEYS else pair


def _masked_pair(pair: str) -> str:
    """A parameter of a source's URL, or a word among them."""
    key, equals, value = pair.partition("=")
    if not equals:
        return pair if _is_harmless(pair) else MASK
    if key.lower() in HARMLESS_KEYS:
        return pair if _is_harmless(value) else f"{key}={MASK}"
    return f"{key}={MASK}" if key.lower() in SECRET_KEYS else MASK


def _masked_path(path: str) -> str:
    """Segments that are not known to be harmless are masked, and the one after each: a user's name has a password."""
    segments = path.split("/")
    shown, hidden, before_hidden = [], False, False
    for number, segment in enumerate(segments):
        if "=" in segment:
            masked = _each(segment, _masked_pair)
        elif not segment or (number == len(segments) - 1 and _is_file(segment)):
            masked = segment
        elif before_hidden or not _is_harmless(segment, number=not hidden):
            masked = MASK
        else:
            masked = segment
        before_hidden = masked == MASK and not before_hidden
        hidden = hidden or MASK in masked
        shown.append(masked)
    return "/".join(shown)


def _masked_pairs_of_path(path: str) -> str:
    """Only `key=value` is masked."""
    return "/".join(_each(part, _masked_pair) if "=" in part else part for part in path.split("/"))


def _is_harmless(text: str, *, number: bool = True) -> bool:
    """Whether it is made of words that cameras use, with at most three short numbers; or, allowed, of one `number`."""
    parts = [part for part in _WORD_PARTS.findall(unquote(text)) if part not in ("-", "_", ".", " ")]
    digits = [part for part in parts if part.isdigit()]
    if any(len(part) > 3 and part not in NUMBERS for part in digits) or len(digits) > 3:
        return False
    if len(digits) == len(parts):
        return not digits or (number and len(digits) == 1)
    return all(_is_word(part) for part in parts if not part.isdigit())


def _is_word(text: str) -> bool:
    return text.lower() in WORDS or (text.isalpha() and all(part.lower() in WORDS for part in _CAMEL.findall(text)))


def _is_file(segment: str) -> bool:
    """Whether it is the name of a video file that a person gave: a token as a name is no such name."""
    stem, dot, ending = unquote(segment).rpartition(".")
    if not dot or ending.lower() not in FILE_KINDS or not stem:
        return False
    return all(_is_readable(word) for word in re.split(r"[-_. ()+]+", stem) if word)


def _is_readable(word: str) -> bool:
    """`street`, `MOT17`, `20240131`, `1080p`; not `7f3c9a`."""
    return len(word) <= 20 and re.fullmatch(r"[^\W\d]+\d*|\d+[^\W\d]*", word) is not None


def _masked_match(match: re.Match[str]) -> str:
    scheme, _, rest = match.group().partition("://")
    bare = rest.rstrip(_AFTER_A_URL)
    after = rest[len(bare) :]
    if scheme.lower() not in ("http", "https"):
        return mask_url(f"{scheme}://{bare}") + after
    parts = _split(bare, server=False)
    masked = MASK if parts is None else _masked_source(parts, _masked_pairs_of_path)
    return f"{scheme}://{masked}{after}"


def _hidden(url: str) -> list[str]:
    """The parts of a URL that its masked form does not show."""
    shown = set(re.split(r"[/?#&;=,:@]", mask_url(url)))
    rest = url.partition("://")[2]
    userinfo = rest.rpartition("@")[0]
    password = userinfo.partition(":")[2]
    return [part for part in (password, *re.split(r"[/?#&;=,:@]", rest)) if part not in shown]


def _is_telling(secret: str) -> bool:
    """Whether to look for it in any text: not for a word that texts hold anyway."""
    return len(secret) >= 12 or (len(secret) >= 4 and not secret.isalpha() and not re.fullmatch(r"[\d.]{1,5}", secret))
