"""Syntax of names, labels and times (apimachinery pkg/util/validation). Each check gives None or what is wrong."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Final

_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?", re.ASCII)
_LABEL_1035: Final = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?", re.ASCII)
_SUBDOMAIN: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_QUALIFIED: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?", re.ASCII)
_ENV_NAME: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*", re.ASCII)
_PORT_NAME: Final = re.compile(r"[-a-z0-9]*[a-z][-a-z0-9]*", re.ASCII)
_RFC3339: Final = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII,
)
_PERCENT: Final = re.compile(r"[0-9]{1,9}%", re.ASCII)


@functools.lru_cache(maxsize=8192)
def dns_label(text: str) -> str | None:
    """RFC 1123 label."""
    if len(text) <= 63 and _LABEL.fullmatch(text):
        return None
    return (
        'must be lower case letters, digits and "-", at most 63 characters, beginning and ending with a letter or digit'
    )


@functools.lru_cache(maxsize=1024)
def dns_label_1035(text: str) -> str | None:
    """RFC 1035 label."""
    if len(text) <= 63 and _LABEL_1035.fullmatch(text):
        return None
    return (
        'must be lower case letters, digits and "-", at most 63 characters, beginning with a letter and ending with a '
        "letter or digit"
    )


def dns_subdomain(text: str) -> str | None:
    """RFC 1123 subdomain."""
    if len(text) <= 253 and _SUBDOMAIN.fullmatch(text):
        return None
    return (
        'must be lower case letters, digits, "-" and ".", at most 253 characters, each part beginning and ending with '
        "a letter or digit"
    )


@functools.lru_cache(maxsize=8192)
def qualified_name(text: str) -> str | None:
    """A label key: ``name`` or ``dns.prefix/name``."""
    prefix, slash, name = text.rpartition("/")
    if slash:
        if not prefix:
            return "the part before / must not be empty"
        problem = dns_subdomain(prefix)
        if problem is not None:
            return f"the part before / {problem}"
    if len(name) <= 63 and _QUALIFIED.fullmatch(name):
        return None
    return (
        'the name must be letters, digits, "-", "_" and ".", at most 63 characters, beginning and ending with a letter '
        "or digit, with an optional DNS prefix and / before it"
    )


@functools.lru_cache(maxsize=8192)
def label_value(text: str) -> str | None:
    """A label value; may be empty."""
    if not text or (len(text) <= 63 and _QUALIFIED.fullmatch(text)):
        return None
    return (
        'must be empty or letters, digits, "-", "_" and ".", at most 63 characters, beginning and ending with a letter '
        "or digit"
    )


def env_name(text: str) -> str | None:
    """The name of an environment variable."""
    if _ENV_NAME.fullmatch(text):
        return None
    return 'must be letters, digits, "_", "-" and ".", not beginning with a digit'


def port_name(text: str) -> str | None:
    """The name of a port (IANA service name)."""
    if len(text) <= 15 and _PORT_NAME.fullmatch(text) and "--" not in text and text[0] != "-" != text[-1]:
        return None
    return 'must be lower case letters, digits and single "-" inside, at most 15 characters, with at least one letter'


def ip_address(text: str) -> str | None:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "must be an IP address, like 10.9.8.7 or 2001:db8::ffff"
    return None


@functools.lru_cache(maxsize=1024)
def rfc3339(text: str) -> str | None:
    """A time stamp."""
    return None if _RFC3339.fullmatch(text) else "must be an RFC 3339 time, like 2024-05-01T12:00:00Z"


def percentage(text: str) -> str | None:
    """A percentage like 25%."""
    return None if _PERCENT.fullmatch(text) else "must be a percentage, like 25%, or a number without quotes"
