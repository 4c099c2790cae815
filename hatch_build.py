"""Give the README that PyPI shows absolute links, which also work there."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class AbsoluteLinks(MetadataHookInterface):
    """Fill in `readme` from README.md, with links to the tag of this version."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        address = metadata["urls"]["Repository"]
        text = make_links_absolute(text, f"{address}/{{kind}}/v{metadata['version']}")
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def make_links_absolute(text: str, base: str) -> str:
    """Return the Markdown with each link to a file made absolute; pictures get the raw file."""

    def replace(match: re.Match[str]) -> str:
        before, target = match.groups()
        kind = "raw" if before.startswith("!") else "blob"
        return f"{before}{base.format(kind=kind)}/{target}"

    return re.sub(r"(!?\[[^\]]*\]\()(?!\w+:|#)([^)\s]+)", replace, text)
