"""A scripted copy of the hosted REST API over SQLite, to try everything without an account.

It imports neither our API client nor MCP. Its verdicts are scripted, not SigmaMind's.
"""

from sigmamind_mcp.sandbox.app import SANDBOX_KEY, SandboxOptions, create_app

__all__ = ["SANDBOX_KEY", "SandboxOptions", "create_app"]
