"""The tools: per subject an input model, an answer, and a thin async function. server.py lists what is offered."""
