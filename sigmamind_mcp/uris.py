"""The URIs of resources: made here, read here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.strict_json import JSONObject

Kind = Literal["transcript", "test-run", "batch-run", "test-case", "guide"]

TEMPLATES: Mapping[Kind, str] = {
    "transcript": "sigmamind://agents/{agentId}/batch-runs/{batchId}/test-runs/{jobId}/transcript{?fromTurn,turns}",
    "test-run": "sigmamind://agents/{agentId}/batch-runs/{batchId}/test-runs/{jobId}{?fromTurn,turns}",
    "batch-run": "sigmamind://agents/{agentId}/batch-runs/{batchId}",
    "test-case": "sigmamind://agents/{agentId}/test-cases/{testCaseId}",
    "guide": "sigmamind://guide/{topic}",
}
"""Each kind of resource by its RFC 6570 template."""


@dataclass(frozen=True)
class Address:
    """What a URI names: the kind of resource, and the template's variables, still as texts."""

    kind: Kind
    variables: JSONObject


def uri_of(kind: Kind, **variables: str) -> str:
    """Return the URI of a resource, without a query."""
    return _path(TEMPLATES[kind]).format(**variables)


def read_uri(uri: str) -> Address | None:
    """Return what the URI names, each variable decoded once, or None when it is none of ours.

    Raises:
        InvalidArguments: its query is not `fromTurn` and `turns`, each at most once, or is not asked for here.
    """
    path, _, query = uri.partition("?")
    for kind, template in TEMPLATES.items():
        if found := _pattern(_path(template)).fullmatch(path):
            variables = {name: unquote(value) for name, value in found.groupdict().items()}
            return Address(
                kind, {**variables, **_read_query(template, query if "?" in uri else None)}
            )
    return None


def _path(template: str) -> str:
    return template.partition("{?")[0]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/#]+)", re.escape(path)))


def _read_query(template: str, query: str | None) -> dict[str, str]:
    if query is None:
        return {}
    names = re.findall(r"\w+", template.partition("{?")[2])
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, max_num_fields=10
        ) or [("", "")]
    except ValueError:
        pairs = [("", "")]
    given = dict(pairs)
    if len(given) < len(pairs) or not set(given) <= set(names):
        takes = " and ".join(names)
        raise InvalidArguments(
            f"The URI's query takes {takes}, each once." if names else "This URI takes no query."
        )
    for name, value in given.items():
        if not re.fullmatch(r"[0-9]{1,9}", value):
            raise InvalidArguments(f"{name} must be a whole number.")
    return given
