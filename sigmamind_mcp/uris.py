"""Build and parse the URIs of resources."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.strict_json import JSONObject

Kind = Literal["transcript", "test-run", "batch-run", "test-case", "guide"]

_TEST_RUN = "sigmamind://agents/{agentId}/batch-runs/{batchId}/test-runs/{jobId}"

# RFC 6570 templates, one for each kind of resource.
TEMPLATES: Mapping[Kind, str] = {
    "transcript": _TEST_RUN + "/transcript{?fromTurn,turns}",
    "test-run": _TEST_RUN + "{?fromTurn,turns}",
    "batch-run": "sigmamind://agents/{agentId}/batch-runs/{batchId}",
    "test-case": "sigmamind://agents/{agentId}/test-cases/{testCaseId}",
    "guide": "sigmamind://guide/{topic}",
}


@dataclass(frozen=True)
class Address:
    """A parsed URI: the kind of resource and the template's variables, as strings."""

    kind: Kind
    variables: JSONObject


def uri_of(kind: Kind, **variables: str) -> str:
    """Return the URI of a resource, without a query."""
    return _drop_query(TEMPLATES[kind]).format(**variables)


def read_uri(uri: str) -> Address | None:
    """Parse the URI and decode its variables; return None if no template matches.

    Raises:
        InvalidArguments: the query is malformed, repeats a name, or has a name that is not allowed.
    """
    path, has_query, query = uri.partition("?")
    for kind, template in TEMPLATES.items():
        match = _compile_pattern(template).fullmatch(path)
        if match:
            variables = {name: unquote(value) for name, value in match.groupdict().items()}
            if has_query:
                variables |= _parse_uri_query(query, template)
            return Address(kind, variables)
    return None


def _drop_query(template: str) -> str:
    return template.partition("{?")[0]


def _compile_pattern(template: str) -> re.Pattern[str]:
    path = re.escape(_drop_query(template))
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/#]+)", path))


def _parse_uri_query(query: str, template: str) -> dict[str, str]:
    allowed = re.findall(r"\w+", template.partition("{?")[2])
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=10)
    except ValueError:
        pairs = []
    values = dict(pairs)
    has_repeated_name = len(values) < len(pairs)
    if not pairs or has_repeated_name or not set(values) <= set(allowed):
        names = " and ".join(allowed)
        raise InvalidArguments(
            f"The URI's query takes {names}, each once." if names else "This URI takes no query."
        )
    for name, value in values.items():
        if not re.fullmatch(r"[0-9]{1,9}", value):
            raise InvalidArguments(f"{name} must be a whole number.")
    return values
