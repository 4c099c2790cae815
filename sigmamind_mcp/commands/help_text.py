"""Format the help of a command for terminals of any width."""

import argparse


class WrappedLines(argparse.RawDescriptionHelpFormatter):
    """Keep the lines of a description, and break those that are too long."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        import textwrap

        lines = []
        for line in text.splitlines():
            words = line.lstrip(" ")
            lead = indent + line.removesuffix(words)
            wrapped = textwrap.wrap(
                words, width, initial_indent=lead, subsequent_indent=f"{lead}    "
            )
            lines += wrapped or [""]
        return "\n".join(lines) + "\n"
