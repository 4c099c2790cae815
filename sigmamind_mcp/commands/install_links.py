"""`sigmamind-mcp links`: links by which a client adds the server, made for this machine or for a shared server.

No link holds a key: links end up in histories and chats. VS Code asks for it; the others show where it goes.
"""

import json
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sigmamind_mcp.errors import ConfigurationError

if TYPE_CHECKING:
    pass

import base64
from urllib.parse import quote, urlencode

from sigmamind_mcp.strict_json import JSONObject

NAME = "sigmamind"
KEY = "your-key"
ASKED = "${input:sigmamind-key}"
INPUT = {
    "type": "promptString",
    "id": "sigmamind-key",
    "description": "SigmaMind API key",
    "password": True,
}


def print_links(*, url: str | None, sandbox: bool, read_only: bool) -> None:
    """Print a link for each client that has them, each whole on a line of its own."""
    if url and urlsplit(url).scheme not in ("http", "https"):
        raise ConfigurationError("--url must be an address such as https://mcp.example.com/mcp.")
    if url and read_only:
        raise ConfigurationError(
            "A link cannot make a shared server read-only; start that server with --read-only."
        )
    options = [*["--sandbox"] * sandbox, *["--read-only"] * read_only]
    print("Open the link of your client, which shows the server and asks before it adds it.")
    for client, link in links(url, options, needs_key=not sandbox).items():
        print(f"\n{client}\n{link}")
    if not sandbox:
        print(f"\nVS Code asks for your key. In the others, put it in place of {KEY}.")
    if not url:
        print(
            "\nGoose's links start no command by its path; with --url there is one for a shared server."
        )


def links(url: str | None, options: list[str], *, needs_key: bool) -> dict[str, str]:
    """Each client's link, for the server at this address or else for the one that is installed here."""
    entry = _entry(url, options, KEY if needs_key else None)
    asking = {
        "name": NAME,
        "type": "http" if url else "stdio",
        **_entry(url, options, ASKED if needs_key else None),
        **({"inputs": [INPUT]} if needs_key else {}),
    }
    found = {
        "Cursor": f"cursor://anysphere.cursor-deeplink/mcp/install?{_query(name=NAME, config=_base64(entry))}",
        "VS Code": f"vscode:mcp/install?{quote(_json(asking), safe='')}",
        "LM Studio": f"lmstudio://add_mcp?{_query(name=NAME, config=_base64(entry))}",
    }
    if url:
        header = {"header": f"X-API-Key={KEY}"} if needs_key else {}
        found["Goose"] = (
            f"goose://extension?{_query(url=url, type='streamable_http', id=NAME, name=NAME, **header)}"
        )
    return found


def _entry(url: str | None, options: list[str], key: str | None) -> JSONObject:
    """What a client's JSON says of one server."""
    if url:
        return {"url": url, **({"headers": {"X-API-Key": key}} if key else {})}
    command, *arguments = client_command()
    return {
        "command": command,
        "args": [*arguments, *options],
        **({"env": {"SIGMAMIND_API_KEY": key}} if key else {}),
    }


def _json(value: JSONObject) -> str:
    return json.dumps(value, separators=(",", ":"))


def _base64(entry: JSONObject) -> str:
    return base64.b64encode(_json(entry).encode()).decode()


def _query(**values: str) -> str:
    return urlencode(values, quote_via=quote, safe="")


def client_command() -> list[str]:
    """How a client starts the server that is installed here."""
    script = Path(sysconfig.get_path("scripts")) / (
        "sigmamind-mcp.exe" if sys.platform == "win32" else "sigmamind-mcp"
    )
    return [str(script)] if script.exists() else [sys.executable, "-m", "sigmamind_mcp"]
