"""What README and docs/ say, done: snippets started, the tutorial made again, links followed, quotes looked up."""

import ast
import base64
import json
import re
import shlex
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
REMOTE = "http://127.0.0.1:8765/mcp"
CLIENTS = [
    "Claude Desktop",
    "Claude Code",
    "Cursor",
    "VS Code",
    "Windsurf",
    "Zed",
    "Goose",
    "LM Studio",
]


class Local(NamedTuple):
    """A server that the client starts: arguments and environment, sorted so that equal ones are one."""

    command: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]


class Remote(NamedTuple):
    url: str
    headers: tuple[tuple[str, str], ...]


def servers_in(text: str) -> Iterator[Local | Remote]:
    """Every server that the snippets of this text set up, in any client's form."""
    for language, snippet in re.findall(r"```(json|yaml)\n(.+?)```", text, re.S):
        told = json.loads(snippet) if language == "json" else yaml.safe_load(snippet)
        for within in ("mcpServers", "servers", "context_servers", "extensions"):
            yield from (_server(entry) for entry in told.get(within, {}).values())
    for line in re.findall(r"^\$ (claude mcp add .+)$", text, re.M):
        yield _from_command(shlex.split(line))


def _server(entry: dict[str, Any]) -> Local | Remote:
    for name in ("url", "serverUrl", "uri"):
        if name in entry:
            return Remote(entry[name], _pairs(entry.get("headers", {})))
    command = entry.get("command") or entry["cmd"]
    return Local(
        command, tuple(entry.get("args", ())), _pairs(entry.get("env") or entry.get("envs") or {})
    )


def _from_command(words: list[str]) -> Local | Remote:
    if "--transport" in words:
        url = next(word for word in words if word.startswith("http:"))
        name, value = words[words.index("--header") + 1].split(": ")
        return Remote(url, ((name, value),))
    end = words.index("--")
    env = [words[at + 1].split("=") for at, word in enumerate(words[:end]) if word == "--env"]
    return Local(words[end + 1], tuple(words[end + 2 :]), _pairs(dict(env)))


def _pairs(values: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The client has asked for its inputs; a variable of the environment that is not set stays as it is written."""
    return tuple(
        (name, re.sub(r"\$\{input:.+\}", "your-key", value))
        for name, value in sorted(values.items())
    )


def servers_by_link(*options: str) -> dict[str, Local | Remote]:
    """What each client reads in its link of those that are printed with these options."""
    shown = run(
        "links", *options, env=environment(SIGMAMIND_API_KEY="key_canary")
    )  # which belongs in none of them
    assert shown.returncode == 0
    return {
        name: _in_link(link) for name, link in re.findall(r"^(.+)\n(\w+:\S+)$", shown.stdout, re.M)
    }


def _in_link(link: str) -> Local | Remote:
    parts = urlsplit(link)
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    match parts.scheme:
        case "vscode":
            told = json.loads(unquote(parts.query))
            asked = {question["id"] for question in told.pop("inputs", ())}
            assert asked == set(re.findall(r"\$\{input:(.+?)\}", json.dumps(told)))
        case "goose":
            assert given["type"] == "streamable_http" and given["id"]
            header = dict([given["header"].split("=")]) if "header" in given else {}
            told = {"name": given["name"], "url": given["url"], "headers": header}
        case _:
            told = {
                "name": given["name"],
                **json.loads(base64.b64decode(given["config"], validate=True)),
            }
    assert told["name"] == "sigmamind"
    return _server(told)


def of_all_pages(kind: type[Local] | type[Remote]) -> list[Any]:
    return sorted(
        {
            server
            for page in PAGES.values()
            for server in servers_in(page)
            if isinstance(server, kind)
        }
    )


@pytest.mark.parametrize(
    "server", of_all_pages(Local), ids=lambda server: " ".join(server.args) or str(server.env)
)
async def test_every_command_in_a_snippet_starts_and_lists_the_tools(server: Local) -> None:
    assert server.command == PLACEHOLDER
    command, *arguments = find_server_command()
    names = await listed_by(server._replace(command=command, args=(*arguments, *server.args)))

    assert names == [tool.name for tool in TOOLS]


async def listed_by(server: Local) -> list[str]:
    """The tools that it lists when it is started; in the sandbox one of them is called too."""
    parameters = StdioServerParameters(
        command=server.command, args=list(server.args), env=environment(**dict(server.env))
    )
    async with Client(parameters, cache=None, mode="legacy") as client:
        listed = (await client.list_tools()).tools
        if "--sandbox" in server.args:
            assert not (await client.call_tool("list_agents", {})).is_error
    return [tool.name for tool in listed]


@pytest.mark.parametrize("remote", of_all_pages(Remote), ids=lambda remote: remote.url)
async def test_every_remote_snippet_connects_with_its_header(remote: Remote) -> None:
    assert remote.url == REMOTE and dict(remote.headers) == {"X-API-Key": "your-key"}
    with serving("serve", "--sandbox") as url:
        await connect(remote._replace(url=f"{url}/mcp"))


async def connect(remote: Remote) -> None:
    async with (
        httpx2.AsyncClient(headers=dict(remote.headers)) as http,
        Client(streamable_http_client(remote.url, http_client=http), cache=None) as client,
    ):
        assert len((await client.list_tools()).tools) == len(TOOLS)


@pytest.mark.parametrize(
    ("options", "args", "writes"),
    [
        ((), (), True),
        (("--sandbox",), ("--sandbox",), True),
        (("--read-only",), ("--read-only",), False),
    ],
)
async def test_links_start_what_is_installed_here(
    options: tuple[str, ...], args: tuple[str, ...], writes: bool
) -> None:
    command, *arguments = find_server_command()
    env = () if "--sandbox" in options else (("SIGMAMIND_API_KEY", "your-key"),)
    server = Local(command, (*arguments, *args), env)

    assert servers_by_link(*options) == dict.fromkeys(["Cursor", "VS Code", "LM Studio"], server)
    assert await listed_by(server) == [tool.name for tool in TOOLS if writes or not tool.writes]


async def test_links_on_the_page_are_those_printed_and_connect() -> None:
    [step] = [step for step in tutorial.steps(INSTALL) if step.printed]
    command, *options = step.does.split()[2:]
    remotes = servers_by_link(*options)

    assert run(command, *options).stdout == step.printed
    assert remotes == dict.fromkeys(["Cursor", "VS Code", "LM Studio", "Goose"], Remote(REMOTE, ()))
    with serving("serve", "--sandbox") as url:
        await connect(Remote(f"{url}/mcp", ()))


def test_links_to_a_shared_server_say_what_the_snippets_say() -> None:
    for name, server in servers_by_link("--url", REMOTE).items():
        assert server in servers_in(section_on(name))


def test_link_to_no_address_is_refused() -> None:
    assert (refused := run("links", "--url", "mcp.example.com")).returncode == 2
    assert refused.stderr.startswith("sigmamind-mcp: --url must be an address")


def section_on(name: str) -> str:
    return next(part for part in INSTALL.split("\n## ") if part.startswith(f"{name}\n"))


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_has_a_local_form_and_says_how_to_go_remote(name: str) -> None:
    section = section_on(name)
    kinds = {type(server) for server in servers_in(section)}

    assert Local in kinds and "\nRemote:" in section
    assert Remote in kinds or name == "Claude Desktop"


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```json" in text])
def test_every_json_snippet_is_json(page: str) -> None:
    for snippet in re.findall(r"```json\n(.+?)```", PAGES[page], re.S):
        assert json.loads(snippet)


async def test_tutorial_comes_out_as_it_stands() -> None:
    page = PAGES["docs/tutorial.md"]

    for step, came in zip(tutorial.steps(page), await tutorial.made_again(page), strict=True):
        assert tutorial.alike(step.printed, came), f"run scripts/tutorial: {step} gave\n{came}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_project_leads_somewhere(page: str) -> None:
    text = re.sub(r"```.+?```", "", PAGES[page], flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    """The headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_quoted_message_is_one_of_ours() -> None:
    quotes = re.findall(r'^\*\*"(.+?)"\*\*$|\| "(.+?)" \|', PAGES["docs/troubleshooting.md"], re.M)
    ours = list(messages())

    assert len(quotes) > 15
    for quote in (heading or cell for heading, cell in quotes):
        pattern = ".+".join(re.escape(part) for part in re.split(" ?… ?", quote))
        assert any(re.search(pattern, message) for message in ours), quote


def messages() -> Iterator[str]:
    """Every text in the code, with a gap where a value is filled in, and what nginx says in our name."""
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


def test_readme_takes_five_minutes() -> None:
    prose = re.sub(r"```.+?```|^\|.*$", "", PAGES["README.md"], flags=re.S | re.M)

    assert len(prose.split()) <= 1_000
