"""Write a number with its noun."""


def pluralize(number: int, noun: str) -> str:
    """Return the number with its noun: 1 attempt, 2 attempts."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
