"""Agent Skills: how to do a task with these tools; also served over MCP (SEP-2640).

A skill is a template in `skills/`. Its lines `{{prompt NAME}}` and `{{guide NAME: SECTION}}` stand
for the steps of a prompt, and for a guide or a section of it, so no text is written twice.
"""

import re
from hashlib import sha256
from importlib.resources import files

import mcp_types as mcp
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from pydantic.alias_generators import to_snake

from sigmamind_mcp.protocol.api_access import Request
from sigmamind_mcp.protocol.prompts import PROMPTS
from sigmamind_mcp.strict_json import JSONObject

SKILLS_EXTENSION = "io.modelcontextprotocol/skills"
SKILL_TTL_MS = 3_600_000
SKILLS = ("author-simulations", "diagnose-batch", "gate-a-change")
_INCLUDE = re.compile(r"^\{\{(prompt|guide) ([\w-]+)(?:: (.+))?\}\}$", re.M)


def write_skill(name: str) -> str:
    """Return the text of SKILL.md, with every included text."""
    return _INCLUDE.sub(_include, _read_text("skills", name))


def _read_text(folder: str, name: str) -> str:
    file = files("sigmamind_mcp").joinpath(folder, f"{name}.md")
    return file.read_text(encoding="utf-8")


def _include(match: re.Match[str]) -> str:
    kind, name, section = match.groups()
    return _write_steps(name) if kind == "prompt" else _take_section(name, section)


def _write_steps(prompt_name: str) -> str:
    """Return the numbered steps of a prompt, without the ids of one task."""
    prompt = PROMPTS[prompt_name]
    blanks = {to_snake(field.name): "" for field in prompt.arguments(None)}
    blank_task = prompt.model.model_construct(None, **blanks)
    text = prompt.function(blank_task, read_only=False)
    steps: list[str] = re.findall(r"^\d\. .+(?:\n   .+)*", text, re.M)
    return "\n".join(steps)


def _take_section(topic: str, heading: str | None) -> str:
    """Return a guide without its title, or one of its sections without its heading."""
    _, text = _read_text("guides", topic).split("\n", 1)
    if heading:
        _, _, section = text.partition(f"\n## {heading}\n")
        text, _, _ = section.partition("\n## ")
    return re.sub(r"^## ", "### ", text.strip(), flags=re.M)


def uri_of_skill(name: str) -> str:
    """Return the URI under which SEP-2640 serves the skill's only file."""
    return f"skill://{name}/SKILL.md"


NAMES_BY_URI = {uri_of_skill(name): name for name in SKILLS}


def read_frontmatter(text: str) -> dict[str, str]:
    """Return the fields between the first two lines of dashes; each is one plain line."""
    _, frontmatter, _ = text.split("---\n", 2)
    fields = {}
    for line in frontmatter.splitlines():
        name, _, value = line.partition(": ")
        fields[name] = value
    return fields


def read_skill(uri: str) -> mcp.ReadResourceResult | None:
    """Return the skill as a client reads it, or None if no skill has this URI."""
    name = NAMES_BY_URI.get(uri)
    if name is None:
        return None
    text = mcp.TextResourceContents(uri=uri, text=write_skill(name), mime_type="text/markdown")
    return mcp.ReadResourceResult(contents=[text], ttl_ms=SKILL_TTL_MS, cache_scope="public")


def _describe_skill(name: str) -> JSONObject:
    """Return the entry that SEP-2640 defines: frontmatter, and each file with its digest."""
    text = write_skill(name)
    data = text.encode()
    file = {
        "uri": uri_of_skill(name),
        "digest": f"sha256:{sha256(data).hexdigest()}",
        "size": len(data),
    }
    return {"uri": file["uri"], "frontmatter": read_frontmatter(text), "resources": [file]}


class GetSkillParams(mcp.RequestParams):
    uri: str


class ListSkillsResult(mcp.CacheableResult):
    skills: list[JSONObject]


class GetSkillResult(mcp.CacheableResult):
    skill: JSONObject


async def _list_skills(ctx: Request, params: mcp.PaginatedRequestParams) -> ListSkillsResult:
    skills = list(map(_describe_skill, SKILLS))
    return ListSkillsResult(skills=skills, ttl_ms=SKILL_TTL_MS, cache_scope="public")


async def _get_skill(ctx: Request, params: GetSkillParams) -> GetSkillResult:
    name = NAMES_BY_URI.get(params.uri)
    if name is None:
        message = f"No skill has that URI; this server has {', '.join(NAMES_BY_URI)}."
        raise MCPError(code=mcp.INVALID_PARAMS, message=message)
    skill = _describe_skill(name)
    return GetSkillResult(skill=skill, ttl_ms=SKILL_TTL_MS, cache_scope="public")


def add_skills(server: Server) -> None:
    """Let the server answer `skills/list` and `skills/get`."""
    server.extensions[SKILLS_EXTENSION] = {}
    server.add_request_handler("skills/list", mcp.PaginatedRequestParams, _list_skills)
    server.add_request_handler("skills/get", GetSkillParams, _get_skill)
