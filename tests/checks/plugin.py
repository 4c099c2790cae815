"""Write the plugin and what else has one source: `python -m tests.checks.plugin [--check]`.

| written | from |
| --- | --- |
| `plugin/`, without its README; `.claude-plugin/` | `manifest.json`, `pyproject.toml`, the skills |
| descriptions of the variables in `server.json` | `manifest.json`, else the text of `--help` |
| the privacy text in `manifest.json` | `docs/security.md` |
| parts of pages between `<!-- from FILE: SECTION -->` and `<!-- end -->` | that section |
| the repository's address in pages | `pyproject.toml`, the only place where it is written by hand |
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sigmamind_mcp import __version__
from sigmamind_mcp.cli import ENVIRONMENT
from sigmamind_mcp.protocol.skills import SKILLS, write_skill
from tests.checks.surface import compare_file, format_json

ROOT = Path(__file__).parents[2]
PAGES = ("docs/ci.md", "docs/install.md")
SCHEMAS = "https://agent-plugins.org/schemas/1.0.0"
NAME = "sigmamind"
# The plugin does not install the server: a client finds this command in its PATH.
COMMAND = "sigmamind-mcp"
BEFORE_ADDRESS = "uses: |github.com/|plugin install |marketplace add "
UNKNOWN_OWNER = "OWNER"

JSON = dict[str, Any]


def read_json(name: str) -> JSON:
    value: JSON = json.loads((ROOT / name).read_text(encoding="utf-8"))
    return value


def read_address() -> str:
    """Return the repository's `owner/name`; the owner is OWNER until there is one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address: str = project["urls"]["Repository"]
    return address.removeprefix("https://github.com/")


def write_files() -> dict[str, str]:
    """Return every generated file by its path in the project."""
    manifest = fill_privacy(read_json("manifest.json"))
    plugin = describe_plugin(manifest)
    servers = {NAME: {"type": "stdio", "command": COMMAND}}
    agent_plugin = {"$schema": f"{SCHEMAS}/plugin.schema.json", **plugin}
    claude_plugin = {**plugin, "userConfig": manifest["user_config"]}
    claude_servers = {
        NAME: {"command": COMMAND, "env": manifest["server"]["mcp_config"]["env"]},
    }
    documents: dict[str, JSON] = {
        "manifest.json": manifest,
        "server.json": describe_variables(read_json("server.json"), manifest),
        "plugin/plugin.json": agent_plugin,
        "plugin/mcp.json": {"$schema": f"{SCHEMAS}/mcp.schema.json", "mcpServers": servers},
        "plugin/.claude-plugin/plugin.json": claude_plugin,
        "plugin/.mcp.json": {"mcpServers": claude_servers},
        ".claude-plugin/marketplace.json": describe_marketplace(plugin),
    }
    texts = {name: format_json(document) for name, document in documents.items()}
    texts |= {f"plugin/skills/{name}/SKILL.md": write_skill(name) for name in SKILLS}
    return texts | {name: fill_page(name) for name in PAGES}


def describe_plugin(manifest: JSON) -> JSON:
    """Return the fields that both plugin formats have."""
    address = read_address()
    known = {"repository": f"https://github.com/{address}"}
    return {
        "name": NAME,
        "version": __version__,
        "description": manifest["description"],
        "author": manifest["author"],
        "license": manifest["license"],
        "keywords": manifest["keywords"],
        **({} if address.startswith(UNKNOWN_OWNER) else known),
    }


def describe_marketplace(plugin: JSON) -> JSON:
    entry = {"name": NAME, "source": "./plugin", "description": plugin["description"]}
    return {
        "name": "sigmamind-mcp",
        "description": plugin["description"],
        "owner": plugin["author"],
        "plugins": [entry],
    }


def describe_variables(server: JSON, manifest: JSON) -> JSON:
    """Fill in the description of each environment variable of the registry entry."""
    in_bundle = {
        variable: manifest["user_config"][re.sub(r"\$\{user_config\.(\w+)\}", r"\1", value)]
        for variable, value in manifest["server"]["mcp_config"]["env"].items()
    }
    in_help = dict(re.findall(r"^  (SIGMAMIND_\w+) +(.+)$", ENVIRONMENT, re.M))
    for variable in server["packages"][0]["environmentVariables"]:
        name = variable["name"]
        entry = in_bundle.get(name)
        text: str = entry["description"] if entry else in_help[name]
        variable["description"] = text[0].upper() + text[1:]
    return server


def fill_privacy(manifest: JSON) -> JSON:
    """Repeat the first paragraph about data in the bundle, which cannot link to a page."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    paragraph = _find_section(page, "Your data").split("\n\n")[0]
    about = manifest["long_description"].partition("\n\nPrivacy: ")[0]
    manifest["long_description"] = f"{about}\n\nPrivacy: {' '.join(paragraph.split())}"
    return manifest


def fill_page(name: str) -> str:
    """Return the page with its included sections and the repository's address."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(rf"({BEFORE_ADDRESS})[\w.-]+/sigmamind-mcp", rf"\1{read_address()}", text)
    return re.sub(
        r"(<!-- from (\S+): (.+?) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}\n{_read_section(match[2], match[3])}\n\n{match[4]}",
        text,
        flags=re.S,
    )


def _read_section(name: str, heading: str) -> str:
    return _find_section((ROOT / name).read_text(encoding="utf-8"), heading)


def _find_section(text: str, heading: str) -> str:
    """Return the section without its heading.

    Raises:
        ValueError: there is no such section.
    """
    _, found, rest = text.partition(f"\n## {heading}\n")
    if not found:
        raise ValueError(f"no section {heading!r}")
    return rest.partition("\n## ")[0].strip()


def list_strays() -> Iterator[str]:
    """Yield files of the plugin that nothing writes."""
    expected = {*write_files(), "plugin/README.md"}
    for path in sorted((ROOT / "plugin").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and name not in expected:
            yield name


def main(*, check: bool) -> int:
    """Write the files and return 0; with `check`, print differences and return 1 if any."""
    status = 0
    for name, text in write_files().items():
        file = ROOT / name
        changes = list(compare_file(file, text))
        print("\n".join(changes) if changes else f"{name}: unchanged")
        if changes and not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        status |= bool(changes) and check
    for name in list_strays():
        print(f"{name}: nothing writes this file; delete it")
        status = 1
    if status:
        print("Run scripts/plugin and commit the files.")
    return status


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
