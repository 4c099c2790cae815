"""README and docs/ are right: snippets start, the tutorial repeats, links and quotes exist."""

import ast
import base64
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2
import pytest
import yaml
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from sigmamind_mcp.commands.install_links import find_server_command
from sigmamind_mcp.protocol.catalogue import TOOLS
from tests.checks import tutorial
from tests.conftest import KEY
from tests.support.processes import environment, run, serving

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("**/*.md"))
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *DOCS]
}
INSTALL = PAGES["docs/install.md"]
PLACEHOLDER = "/absolute/path/to/sigmamind-mcp/.venv/bin/sigmamind-mcp"
IN_THE_FOLDER = "$PWD/.venv/bin/sigmamind-mcp"
REMOTE = "http://127.0.0.1:8765/mcp"
REMOTE_HEADERS = (
    {"X-API-Key": "your-key"},
    {"Authorization": "Bearer your-key"},
)
CLIENTS = [
    "Claude Desktop",
    "Claude Code",
    "Codex",
    "Copilot CLI",
    "Cursor",
    "VS Code",
    "JetBrains",
    "Cline",
    "Windsurf",
    "Zed",
    "Goose",
    "LM Studio",
]


class Local(NamedTuple):
    """A server that the client starts. The environment is sorted, so equal servers compare equal."""

    command: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]


class Remote(NamedTuple):
    url: str
    headers: tuple[tuple[str, str], ...]


def find_servers(text: str) -> Iterator[Local | Remote]:
    """Yield every server that the snippets of this text configure, in any client's format."""
    parsers = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}
    for language, snippet in re.findall(r"```(json|yaml|toml)\n(.+?)```", text, re.S):
        config = parsers[language](snippet)
        for key in ("mcpServers", "servers", "context_servers", "extensions", "mcp_servers"):
            for entry in config.get(key, {}).values():
                yield _parse_entry(entry)
    for line in re.findall(r"(?:^\$ |^|`)((?:claude|codex|copilot) mcp add [^`\n]+)", text, re.M):
        yield _parse_command(shlex.split(line))


def _parse_entry(entry: dict[str, Any]) -> Local | Remote:
    for name in ("url", "serverUrl", "uri"):
        if name in entry:
            headers = entry.get("headers") or entry.get("http_headers") or {}
            return Remote(entry[name], _fill_inputs(headers))
    command = entry.get("command") or entry["cmd"]
    return Local(
        command,
        tuple(entry.get("args", ())),
        _fill_inputs(entry.get("env") or entry.get("envs") or {}),
    )


def _parse_command(words: list[str]) -> Local | Remote:
    if "--url" in words:
        # Codex sends the variable's value as a bearer token.
        assert words[words.index("--bearer-token-env-var") + 1] == "SIGMAMIND_API_KEY"
        return Remote(words[words.index("--url") + 1], (("Authorization", "Bearer your-key"),))
    if "--transport" in words:
        url = next(word for word in words if word.startswith("http:"))
        name, value = words[words.index("--header") + 1].split(": ")
        return Remote(url, ((name, value),))
    end = words.index("--")
    env = [words[at + 1].split("=") for at, word in enumerate(words[:end]) if word == "--env"]
    return Local(words[end + 1], tuple(words[end + 2 :]), _fill_inputs(dict(env)))


def _fill_inputs(values: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Fill in the inputs that a client asks for. Environment variables stay as written."""
    return tuple(
        (name, re.sub(r"\$\{input:.+\}", "your-key", value))
        for name, value in sorted(values.items())
    )


def servers_by_link(*options: str) -> dict[str, Local | Remote]:
    """Print the install links with these options; return the server in each client's link."""
    # No link may contain the key.
    printed = run("links", *options, env=environment(SIGMAMIND_API_KEY="key_canary"))
    assert printed.returncode == 0
    return {
        name: _parse_link(link)
        for name, link in re.findall(r"^(.+)\n(\w+:\S+)$", printed.stdout, re.M)
    }


def _parse_link(link: str) -> Local | Remote:
    parts = urlsplit(link)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    match parts.scheme:
        case "vscode":
            entry = json.loads(unquote(parts.query))
            inputs = {question["id"] for question in entry.pop("inputs", ())}
            assert inputs == set(re.findall(r"\$\{input:(.+?)\}", json.dumps(entry)))
        case "goose":
            assert query["type"] == "streamable_http" and query["id"]
            header = dict([query["header"].split("=")]) if "header" in query else {}
            entry = {"name": query["name"], "url": query["url"], "headers": header}
        case _:
            entry = {
                "name": query["name"],
                **json.loads(base64.b64decode(query["config"], validate=True)),
            }
    assert entry["name"] == "sigmamind"
    return _parse_entry(entry)


def list_servers(kind: type[Local] | type[Remote]) -> list[Any]:
    return sorted(
        {
            server
            for page in PAGES.values()
            for server in find_servers(page)
            if isinstance(server, kind)
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "server", list_servers(Local), ids=lambda server: " ".join(server.args) or str(server.env)
)
async def test_every_command_in_a_snippet_starts_and_lists_the_tools(server: Local) -> None:
    assert server.command in (PLACEHOLDER, IN_THE_FOLDER)
    command, *arguments = find_server_command()
    names = await list_tools_of(server._replace(command=command, args=(*arguments, *server.args)))

    assert names == [tool.name for tool in TOOLS]


async def list_tools_of(server: Local) -> list[str]:
    """Start the server and return its tools; in the sandbox, call one too."""
    parameters = StdioServerParameters(
        command=server.command, args=list(server.args), env=environment(**dict(server.env))
    )
    async with Client(parameters, cache=None, mode="legacy") as client:
        tools = (await client.list_tools()).tools
        if "--sandbox" in server.args:
            assert not (await client.call_tool("list_agents", {})).is_error
    return [tool.name for tool in tools]


@pytest.mark.parametrize("remote", list_servers(Remote), ids=lambda remote: remote.url)
async def test_every_remote_snippet_connects_with_its_header(remote: Remote) -> None:
    assert remote.url == REMOTE and dict(remote.headers) in REMOTE_HEADERS
    with serving("serve", "--sandbox") as url:
        await connect(remote._replace(url=f"{url}/mcp"))


async def connect(remote: Remote) -> None:
    headers = {name: value.replace("your-key", KEY) for name, value in remote.headers}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(remote.url, http_client=http), cache=None) as client,
    ):
        assert len((await client.list_tools()).tools) == len(TOOLS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "args", "writes"),
    [
        ((), (), True),
        (("--sandbox",), ("--sandbox",), True),
        (("--read-only",), ("--read-only",), False),
    ],
)
async def test_links_start_this_installation(
    options: tuple[str, ...], args: tuple[str, ...], writes: bool
) -> None:
    command, *arguments = find_server_command()
    env = () if "--sandbox" in options else (("SIGMAMIND_API_KEY", "your-key"),)
    server = Local(command, (*arguments, *args), env)

    assert servers_by_link(*options) == dict.fromkeys(["Cursor", "VS Code", "LM Studio"], server)
    assert await list_tools_of(server) == [tool.name for tool in TOOLS if writes or not tool.writes]


async def test_links_on_the_page_are_current_and_connect() -> None:
    [step] = [step for step in tutorial.list_steps(INSTALL) if step.result]
    command, *options = step.action.split()[2:]
    remotes = servers_by_link(*options)

    assert run(command, *options).stdout == step.result
    assert remotes == dict.fromkeys(["Cursor", "VS Code", "LM Studio", "Goose"], Remote(REMOTE, ()))
    with serving("serve", "--sandbox") as url:
        await connect(Remote(f"{url}/mcp", ()))


def test_links_to_a_shared_server_match_the_snippets() -> None:
    for name, server in servers_by_link("--url", REMOTE).items():
        assert server in find_servers(section_on(name))


def test_link_to_an_invalid_address_is_refused() -> None:
    assert (refused := run("links", "--url", "mcp.example.com")).returncode == 2
    assert refused.stderr.startswith("sigmamind-mcp: --url must be an address")


def section_on(name: str) -> str:
    return next(part for part in INSTALL.split("\n## ") if part.startswith(f"{name}\n"))


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_has_a_local_and_a_remote_setup(name: str) -> None:
    section = section_on(name)
    kinds = {type(server) for server in find_servers(section)}

    assert Local in kinds and "\nRemote:" in section
    assert Remote in kinds or name == "Claude Desktop"


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```json" in text])
def test_every_json_snippet_is_json(page: str) -> None:
    for snippet in re.findall(r"```json\n(.+?)```", PAGES[page], re.S):
        assert json.loads(snippet)


@pytest.mark.slow
async def test_tutorial_gives_the_printed_results() -> None:
    page = PAGES["docs/tutorial.md"]
    results = await tutorial.repeat_steps(page)

    for step, result in zip(tutorial.list_steps(page), results, strict=True):
        is_same = tutorial.is_same_result(step.result, result)
        assert is_same, f"run scripts/tutorial: {step}\n{result}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_project_has_a_target(page: str) -> None:
    text = re.sub(r"```.+?```", "", PAGES[page], flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in list_anchors(path.read_text(encoding="utf-8")), target


def list_anchors(text: str) -> set[str]:
    """Return the headings in the form of GitHub's anchors."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_quoted_message_is_one_of_ours() -> None:
    quotes = re.findall(r'^\*\*"(.+?)"\*\*$|\| "(.+?)" \|', PAGES["docs/troubleshooting.md"], re.M)
    ours = list(list_messages())

    assert len(quotes) > 15
    for quote in (heading or cell for heading, cell in quotes):
        pattern = ".+".join(re.escape(part) for part in re.split(" ?… ?", quote))
        assert any(re.search(pattern, message) for message in ours), quote


def list_messages() -> Iterator[str]:
    """Yield every text in the code, with a gap for each inserted value, and those of the nginx file."""
    yield (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for path in (ROOT / "sigmamind_mcp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else " (value) "
                    for part in node.values
                )


def test_two_commands_of_the_readme_start_it() -> None:
    first = re.findall(r"```bash\n(.+?)```", PAGES["README.md"], re.S)[0].splitlines()

    assert len(first) == 2 and (ROOT / first[0]).exists()
    assert first[1].startswith("claude mcp add ")  # scripts/plugin --hosts runs it


def test_results_of_the_tutorial_are_written_from_one_run() -> None:
    page = "```console\n$ a\nat 1\n```\n```call\nb {}\n```\n\n```text\nat 2\n```\n"
    outcomes = [(step, "at 3\n") for step in tutorial.list_steps(page)]

    assert tutorial.write_results(page, outcomes) == page.replace("at 1", "at 3").replace(
        "at 2", "at 3"
    )
