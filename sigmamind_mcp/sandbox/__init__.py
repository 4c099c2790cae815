"""The same REST API as the hosted one, scripted, over SQLite: for trying everything without an account.

It knows neither our client nor MCP. Nothing here is SigmaMind's judgement.
"""

from sigmamind_mcp.sandbox.app import SANDBOX_KEY, SandboxOptions, create_app

__all__ = ["SANDBOX_KEY", "SandboxOptions", "create_app"]
