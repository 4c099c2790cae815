"""MCP server to author, run and read simulations of SigmaMind agents."""

__version__ = "0.1.0"
