"""MCP Apps (specification 2026-01-26): the page that clients show under some tools' answers."""

import mcp_types as mcp

from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.viewer import VIEWER_URI
from sigmamind_mcp.viewer.page import read_page

VIEWER_TTL_MS = 3_600_000
APP_MIME_TYPE = "text/html;profile=mcp-app"
MATRIX_KEY = "io.github.sigmamind-mcp/matrix"

VIEWED_TOOLS = frozenset(
    ("create_batch_run", "diagnose_batch_run", "compare_batch_runs", "get_test_case_history")
)
# The second key is deprecated, but some hosts read only that one.
TOOL_META: JSONObject = {"ui": {"resourceUri": VIEWER_URI}, "ui/resourceUri": VIEWER_URI}
# An empty csp asks for the default, which allows no request. A host may read either place.
_PAGE_META: JSONObject = {"ui": {"csp": {}, "prefersBorder": False}}


def describe_viewer() -> mcp.Resource:
    """Return the page's entry in resources/list."""
    return mcp.Resource(
        uri=VIEWER_URI,
        name="viewer",
        title="Viewer of batch runs",
        mime_type=APP_MIME_TYPE,
        _meta=_PAGE_META,
    )


def read_viewer() -> mcp.ReadResourceResult:
    """Return the page as a client reads it."""
    page = mcp.TextResourceContents(
        uri=VIEWER_URI, text=read_page(), mime_type=APP_MIME_TYPE, _meta=_PAGE_META
    )
    return mcp.ReadResourceResult(contents=[page], ttl_ms=VIEWER_TTL_MS, cache_scope="public")
