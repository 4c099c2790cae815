"""`sigmamind-mcp links`: links that add the installed server, or a shared one, to a client.

No link contains a key, because links end up in histories and chats.
"""

import base64
import json
import sys
import sysconfig
from pathlib import Path
from urllib.parse import quote, urlencode

from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.settings import check_url
from sigmamind_mcp.strict_json import JSONObject

NAME = "sigmamind"
KEY_PLACEHOLDER = "your-key"
# VS Code asks for this input when it adds the server.
KEY_INPUT = {
    "type": "promptString",
    "id": "sigmamind-key",
    "description": "SigmaMind API key",
    "password": True,
}
KEY_INPUT_REFERENCE = "${input:sigmamind-key}"


def print_links(*, url: str | None, sandbox: bool, read_only: bool) -> None:
    """Print one link per client, each on a line of its own."""
    if url is not None:
        try:
            check_url(url, "https://mcp.example.com/mcp")
        except ValueError as exc:
            raise ConfigurationError(f"--url {exc}.") from None
    if url and read_only:
        raise ConfigurationError(
            "A link cannot make a shared server read-only. Start that server with --read-only."
        )
    options = []
    if sandbox:
        options.append("--sandbox")
    if read_only:
        options.append("--read-only")
    print("Open the link of your client. It shows the server and asks before it adds it.")
    for client, link in build_links(url, options, needs_key=not sandbox).items():
        print(f"\n{client}\n{link}")
    if not sandbox:
        print(f"\nVS Code asks for your key. In the others, replace {KEY_PLACEHOLDER} with it.")
    if not url:
        print("\nA Goose link cannot start a local command. For a shared server, add --url.")


def build_links(url: str | None, options: list[str], *, needs_key: bool) -> dict[str, str]:
    """Return a link per client, to the shared server at `url` or to the installed one."""
    entry = _build_entry(url, options, KEY_PLACEHOLDER if needs_key else None)
    query = _encode_query({"name": NAME, "config": _encode_base64(entry)})
    links = {
        "Cursor": f"cursor://anysphere.cursor-deeplink/mcp/install?{query}",
        "VS Code": _build_vs_code_link(url, options, needs_key=needs_key),
        "LM Studio": f"lmstudio://add_mcp?{query}",
    }
    if url:
        links["Goose"] = _build_goose_link(url, needs_key=needs_key)
    return links


def _build_vs_code_link(url: str | None, options: list[str], *, needs_key: bool) -> str:
    entry = _build_entry(url, options, KEY_INPUT_REFERENCE if needs_key else None)
    config = {"name": NAME, "type": "http" if url else "stdio", **entry}
    if needs_key:
        config["inputs"] = [KEY_INPUT]
    return f"vscode:mcp/install?{quote(_encode_json(config), safe='')}"


def _build_goose_link(url: str, *, needs_key: bool) -> str:
    values = {"url": url, "type": "streamable_http", "id": NAME, "name": NAME}
    if needs_key:
        values["header"] = f"X-API-Key={KEY_PLACEHOLDER}"
    return f"goose://extension?{_encode_query(values)}"


def _build_entry(url: str | None, options: list[str], key: str | None) -> JSONObject:
    """Return the server's entry in a client's JSON."""
    entry: JSONObject
    if url:
        entry = {"url": url}
        if key:
            entry["headers"] = {"X-API-Key": key}
        return entry
    command, *arguments = find_server_command()
    entry = {"command": command, "args": [*arguments, *options]}
    if key:
        entry["env"] = {"SIGMAMIND_API_KEY": key}
    return entry


def _encode_json(value: JSONObject) -> str:
    return json.dumps(value, separators=(",", ":"))


def _encode_base64(entry: JSONObject) -> str:
    return base64.b64encode(_encode_json(entry).encode()).decode()


def _encode_query(values: dict[str, str]) -> str:
    return urlencode(values, quote_via=quote, safe="")


def find_server_command() -> list[str]:
    """Return the command by which a client starts the installed server."""
    name = "sigmamind-mcp.exe" if sys.platform == "win32" else "sigmamind-mcp"
    script = Path(sysconfig.get_path("scripts")) / name
    if script.exists():
        return [str(script)]
    return build_module_command()


def build_module_command() -> list[str]:
    """Return the command that starts the server as a module, in any folder."""
    # Without -P, a file of the current folder such as anyio.py would be imported, and see the key.
    return [sys.executable, "-P", "-m", "sigmamind_mcp"]
