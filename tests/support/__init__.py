"""Helpers that several tests share: fake APIs, server processes, connections."""
