"""Mark what a quote leaves out.

Every "…" in a quote is ours: one that the speaker wrote is quoted as "...".
"""

LEFT_OUT_MARK = "…"


def write_own_dots(text: str) -> str:
    """Return what a speaker wrote without the mark of what is left out."""
    return text.replace(LEFT_OUT_MARK, "...")


def cut_end(text: str, characters: int) -> str:
    """Return the text, or so many characters of it with a mark at the end."""
    if len(text) <= characters:
        return text
    return f"{text[: characters - 1].rstrip()}{LEFT_OUT_MARK}"
