"""Check answers against the whole schema of their tool, and against the one in tools/list."""

from typing import Any

import jsonschema

from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.settings import Settings

_WHOLE = {tool.name: tool.answer_schema for tool in TOOLS}
_ADVERTISED = {tool.name: tool.advertise(Settings()).output_schema for tool in TOOLS}


def check_schema(tool: str, structured: Any) -> None:
    """Check the structured content of a tool's answer.

    Raises: jsonschema.ValidationError
    """
    for schema in (_WHOLE[tool], _ADVERTISED[tool]):
        jsonschema.Draft202012Validator(schema).validate(structured)
