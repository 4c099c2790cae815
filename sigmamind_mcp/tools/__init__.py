"""The tools: for each an input model, an answer and a thin async function."""
