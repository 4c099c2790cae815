"""README, guides, manifest and requirements agree with the code."""

import importlib
import json
import re
import tomllib
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.api.models import KNOWN_LLM_MODELS
from sigmamind_mcp.cli import ENVIRONMENT
from sigmamind_mcp.insight.attempts_needed import compute_worse_power, find_attempts_for_rates
from sigmamind_mcp.insight.decisions import PROOF_SHARE
from sigmamind_mcp.insight.statistics import (
    ALPHA,
    Counts,
    compute_wilson_interval,
)
from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.protocol.instructions import write_instructions
from sigmamind_mcp.protocol.resources import read_guide
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.transports.sse import MAX_STREAMS
from sigmamind_mcp.transports.traffic import MAX_BODY_BYTES, MAX_CALLS
from tests.checks import reference
from tests.conftest import connected, text_of
from tests.support.tool_examples import EXAMPLES

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
MANIFEST: dict[str, Any] = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))


def test_every_tool_has_an_example() -> None:
    assert list(EXAMPLES) == [tool.name for tool in TOOLS]


@pytest.mark.parametrize("tool", EXAMPLES)
async def test_every_example_works_in_the_sandbox_as_it_stands(
    sandbox_mcp: Client, tool: str
) -> None:
    result = await sandbox_mcp.call_tool(tool, EXAMPLES[tool])

    assert not result.is_error, text_of(result)


async def test_example_of_a_search_finds_something(sandbox_mcp: Client) -> None:
    result = await sandbox_mcp.call_tool("search_test_runs", EXAMPLES["search_test_runs"])

    assert re.search(r"Matching attempts: [1-9]", text_of(result))


def test_readme_has_at_most_120_lines_without_ids_and_nginx() -> None:
    assert len(README.splitlines()) <= 120
    assert not re.search(r"\b(agent|batch|job|tc)_\w{6,}|nginx", README)


@pytest.mark.parametrize(
    "figure", re.findall(r"\d[\d,]*\d{3}|\d+ %", README.split("## What is")[1])
)
def test_figures_of_the_readme_are_on_the_page_about_measuring(figure: str) -> None:
    assert figure in (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")


def test_guide_on_test_cases_lists_the_known_models() -> None:
    listed = re.findall(r"\b(?:gpt|claude|gemini)-[\w.-]*\w", read_guide("test-cases") or "")
    fast = {
        f"{name}-fast-tier" for name in listed if name.startswith("gpt") and name != "gpt-5-nano"
    }

    assert {*listed, *fast} == set(KNOWN_LLM_MODELS)


def test_guide_on_attempts_has_the_figures_of_the_statistics() -> None:
    guide = read_guide("attempts") or ""
    for passed, decided, low, high in re.findall(
        r"^\| (\d+) of (\d+) \| (\d+) and (\d+) % \|$", guide, re.M
    ):
        interval = compute_wilson_interval(Counts(int(passed), int(decided)))
        assert (round(interval.low * 100), round(interval.high * 100)) == (int(low), int(high))
    rows = re.findall(r"^\| (\d+) \| (\d+) % \| (\d+) % \| (\d+) % \|$", guide, re.M)
    drops = ((0.95, 0.40), (0.90, 0.50), (0.90, 0.70))
    for attempts, *shares in rows:
        for (higher, lower), share in zip(drops, shares, strict=True):
            power = compute_worse_power(higher, lower, int(attempts), int(attempts), ALPHA)
            assert round(power * 100) == int(share)
    needed = re.findall(r"^\| (\d+) cases? \| (\d+) \| (\d+) \| (\d+) \|$", guide, re.M)
    for cases, *sizes in needed:
        for (higher, lower), size in zip(drops, sizes, strict=True):
            plan = find_attempts_for_rates(
                higher, lower, alpha=ALPHA * PROOF_SHARE, cases=int(cases)
            )
            assert plan.attempts == int(size)
    assert (len(rows), len(needed)) == (5, 3)


def test_every_requirement_has_a_figure_and_tests_with_its_number() -> None:
    rows = re.findall(r"^\| (R\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", SECURITY, re.M)
    assert [row[0] for row in rows] == [f"R{number}" for number in range(1, 41)]
    for number, _, reached, tests in rows:
        assert (reached.strip() == "left out") == (number in ("R26", "R34"))
        for name in re.findall(r"`(\w+)`", tests):
            (path,) = (ROOT / "tests").rglob(f"{name}.py")
            source = path.read_text(encoding="utf-8")
            numbers = {int(n) for n in re.findall(r"R(\d+)", source)}
            for low, high in re.findall(r"R(\d+)-R(\d+)", source):
                numbers |= set(range(int(low), int(high) + 1))
            assert int(number[1:]) in numbers, (number, name)


def test_reference_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["reference", "--check"])

    assert reference.main() == 0, "run scripts/reference"


def test_manifest_asks_for_every_variable_it_passes_and_hides_the_key() -> None:
    variables = MANIFEST["server"]["mcp_config"]["env"]

    assert set(re.findall(r"\$\{user_config\.(\w+)\}", json.dumps(variables))) == set(
        MANIFEST["user_config"]
    )
    assert MANIFEST["user_config"]["api_key"]["sensitive"] is True
    assert (ROOT / MANIFEST["server"]["entry_point"]).exists()


def test_help_names_every_setting() -> None:
    assert set(re.findall(r"SIGMAMIND_\w+", ENVIRONMENT)) == {
        f"SIGMAMIND_{name.upper()}" for name in Settings._fields
    }


def test_uv_is_told_to_compile_bytecode() -> None:
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]

    assert (
        uv["compile-bytecode"] is True
    )  # for the bundle; scripts/bundle --check checks the result
    pages = [README, *(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))]
    commands = re.findall(r"(?:uv tool install|uvx|uv pip) [^`\n]+", "\n".join(pages))
    assert commands and all("--compile-bytecode" in command for command in commands)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_hashed_and_without_urls(name: str) -> None:
    locked = (ROOT / name).read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert "://" not in locked
    pins = re.findall(r"^([a-z0-9-]+)==\S+.* \\$\n    --hash=sha256:[0-9a-f]{64}", locked, re.M)
    assert {re.split(r"[><=]", dependency)[0] for dependency in project["dependencies"]} <= set(
        pins
    )
    assert len(pins) == len(re.findall(r"^[a-z0-9-]+==", locked, re.M))


def test_deployed_versions_are_the_tested_ones() -> None:
    deployed, building, tested = (
        set(re.findall(r"^\S+==[^ ;]+", (ROOT / name).read_text(encoding="utf-8"), re.M))
        for name in ("requirements.txt", "requirements-build.txt", "requirements-dev.txt")
    )

    assert deployed | building < tested


def test_limits_of_the_nginx_file_are_below_the_servers_own() -> None:
    """Otherwise nginx takes a full server for one that is shutting down."""
    conf = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    per_server = [int(count) for count in re.findall(r"max_conns=(\d+)", conf)]
    (total,) = re.findall(r"limit_conn sigmamind_mcp_all (\d+);", conf)

    assert max(per_server) < MAX_CALLS and max(per_server) <= MAX_STREAMS
    assert int(total) < sum(per_server)
    assert MAX_BODY_BYTES == 1024 * 1024 and "client_max_body_size 1m;" in conf


@pytest.mark.parametrize(("package", "floor"), [("mcp", (2, 3, 0)), ("starlette", (1, 3, 1))])
def test_packages_are_newer_than_their_known_holes(package: str, floor: tuple[int, ...]) -> None:
    """R40: both the allowed and the locked version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = re.search(rf"^{package}>=([\d.]+)", "\n".join(project["dependencies"]), re.M)
    locked = re.search(
        rf"^{package}==([\d.]+)", (ROOT / "requirements-dev.txt").read_text(encoding="utf-8"), re.M
    )

    for version in (allowed, locked):
        assert version and (*map(int, version[1].split(".")), 0)[:3] >= floor


@pytest.mark.parametrize("name", ["build", "interop", "audit"])
def test_requirements_of_the_checks_are_hashed_and_without_urls(name: str) -> None:
    locked = (ROOT / f"requirements-{name}.txt").read_text(encoding="utf-8")

    assert "://" not in locked
    hashed = re.findall(r"^\S+==\S+.* \\\n    --hash=sha256:[0-9a-f]{64}", locked, re.M)
    assert len(hashed) == len(re.findall(r"^\S+==", locked, re.M)) > 0


@pytest.mark.parametrize("folder", ["interop", "interop/hosts"])
def test_npm_packages_are_pinned_and_without_urls(folder: str) -> None:
    required = json.loads((ROOT / folder / "package.json").read_text(encoding="utf-8"))[
        "dependencies"
    ]
    text = (ROOT / folder / "package-lock.json").read_text(encoding="utf-8")
    locked = json.loads(text)["packages"]

    assert "://" not in text
    assert {name: locked[f"node_modules/{name}"]["version"] for name in required} == required
    assert all(package.get("integrity") for name, package in locked.items() if name)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "interop").glob("baseline-*.yml")), ids=lambda path: path.stem
)
def test_every_line_of_a_baseline_has_a_reason(path: Path) -> None:
    _, entries = path.read_text(encoding="utf-8").split("server:\n")

    assert re.fullmatch(r"((  # .+\n)+(  - [\w-]+:[\w-]+\n)+)+", entries)


@pytest.mark.parametrize("read_only", [False, True])
def test_instructions_fit_150_words_and_name_only_tools_on_offer(read_only: bool) -> None:
    text = write_instructions(Settings(sandbox=True, read_only=read_only))

    assert len(text.split()) <= 150
    assert ("create_" in text) is not read_only


@pytest.mark.parametrize("agent_id", [None, "agent_mine"])
async def test_every_description_names_the_next_or_the_sibling_tool(agent_id: str | None) -> None:
    async with connected(sandbox=True, agent_id=agent_id) as mcp:
        for tool in (await mcp.list_tools()).tools:
            siblings = {sibling.name for sibling in TOOLS} - {tool.name}
            assert any(name in (tool.description or "") for name in siblings), tool.name


STEPS = re.findall(
    r"`([\w/]+)\.py: ([\w.]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(("path", "name"), STEPS)
def test_walks_in_contributing_name_what_exists(path: str, name: str) -> None:
    module = importlib.import_module(f"sigmamind_mcp.{path.replace('/', '.')}")

    assert attrgetter(name)(module)
