"""MCP server to author, run and diagnose simulations of SigmaMind agents."""

__version__ = "0.1.0"
