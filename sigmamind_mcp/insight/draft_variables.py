"""Compare the mock data of a draft test case with the variables of its agent."""

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from sigmamind_mcp.api.models import Agent, MockVariable, TestCase
from sigmamind_mcp.insight.draft_rules import Finding
from sigmamind_mcp.insight.variable_names import list_variables, quote_names

MAX_COMPARED_NAMES = 30
"""Of each side: two names of 64 letters take 0.4 ms to compare, all pairs 0.35 s."""

# In JSON: a name where a tool may say what it extracts.
_VALUE_OR_OBJECT = re.compile(r'"([\w.-]+)"(?=[,\]}]|: \{)')


class _VariableMatch(NamedTuple):
    """How the mock data fits the agent's variables."""

    needed: Sequence[str]
    renamed: dict[str, str]  # a mock variable, and the agent's variable that it resembles
    empty: Sequence[str]
    extracted: Sequence[str]  # without a value until a tool sets it
    unused: Sequence[str]


def lint_variables(draft: TestCase, agent: Agent) -> list[Finding]:
    """Return findings on variables without a value, and on values without a variable."""
    prompts = "\n".join(filter(None, agent.list_prompts()))
    if not prompts:
        return []
    match = _match_variables(draft.mock_data, agent, list_variables(prompts))
    return [*_report_renamed(match), *_report_missing(match), *_report_unused(match)]


def _match_variables(
    mock_data: Sequence[MockVariable], agent: Agent, needed: Sequence[str]
) -> _VariableMatch:
    tools = json.dumps(agent.tools, ensure_ascii=False, default=str)
    # Tools and fields that we do not know may use variables too.
    everything = json.dumps(agent.raw, ensure_ascii=False, default=str) + tools
    used = {*needed, *list_variables(everything)}
    extractable = {found[1] for found in _VALUE_OR_OBJECT.finditer(tools)}
    names = dict.fromkeys(mock.variable_name for mock in mock_data)
    missing = [name for name in needed if name not in names]
    unused = [name for name in filter(can_match, names) if name not in used]
    renamed = _find_renamed(unused, missing)
    paired = renamed.values()
    empty = []
    extracted = []
    for name in missing:
        if name in paired:
            continue
        if name in extractable:
            extracted.append(name)
        else:
            empty.append(name)
    return _VariableMatch(
        needed=needed,
        renamed=renamed,
        empty=empty,
        extracted=extracted,
        unused=[name for name in unused if name not in renamed],
    )


def _find_renamed(unused: Sequence[str], missing: Sequence[str]) -> dict[str, str]:
    """Pair each unused mock variable with a variable of almost the same name and no value."""
    candidates = [name for name in missing[:MAX_COMPARED_NAMES] if len(name) <= 64]
    # Of names that differ only in case, the first counts.
    free = {name.casefold(): name for name in reversed(candidates)}
    renamed = {}
    for name in unused[:MAX_COMPARED_NAMES]:
        close = get_close_matches(name[:64].casefold(), free, n=1, cutoff=0.75)
        if close:
            renamed[name] = free.pop(close[0])
    return renamed


def _report_renamed(match: _VariableMatch) -> list[Finding]:
    findings = []
    for wrong, right in match.renamed.items():
        quoted = quote_names([right])
        reason = (
            f"Mock variable {quote_names([wrong])} is not used by the agent, which uses {quoted}:"
            " a variable without a value becomes empty text, and no error is shown."
        )
        suggestion = f"Rename it to {quoted}, in the same upper and lower case."
        findings.append(Finding("mockData", "problem", reason, suggestion))
    return findings


def _report_missing(match: _VariableMatch) -> list[Finding]:
    findings = []
    if match.empty:
        reason = (
            f"The agent uses {quote_names(match.empty)} without a mock value:"
            " each becomes empty text, and no error is shown."
        )
        findings.append(Finding("mockData", "problem", reason, "Add a mock value for each."))
    if match.extracted:
        reason = (
            f"The agent uses {quote_names(match.extracted)} without a mock value:"
            " empty text until a tool sets it."
        )
        suggestion = "Add a mock value unless a tool extracts it."
        findings.append(Finding("mockData", "advice", reason, suggestion))
    return findings


def _report_unused(match: _VariableMatch) -> list[Finding]:
    if not match.unused:
        return []
    reason = f"Nothing in the agent's settings uses the mock data {quote_names(match.unused)}."
    suggestion = "Remove it."
    if match.needed:
        suggestion = f"Remove it, or use a variable of the agent: {quote_names(match.needed)}."
    return [Finding("mockData", "advice", reason, suggestion)]


def can_match(name: str) -> bool:
    """Tell whether a mock variable's name can be that of a variable of the agent."""
    return bool(name.strip()) and {"{", "}"}.isdisjoint(name)
