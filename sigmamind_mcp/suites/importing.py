"""Read the scenario files of LiveKit and Pipecat as cases of a suite.

Formats: docs.livekit.io/testing/simulations/write-a-scenario and
docs.pipecat.ai/pipecat/evals/simulated-scenarios, as of November 2026.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sigmamind_mcp.suites.suite_file import make_key
from sigmamind_mcp.suites.yaml_text import Writable
from sigmamind_mcp.suites.yaml_tree import BadFile, parse_yaml, quote_word, read_text_file

LIVEKIT_FIELDS = {"id", "label", "instructions", "agent_expectations", "userdata"}
PIPECAT_FIELDS = {"name", "persona", "goal", "success", "runs"}


class Imported(NamedTuple):
    """Cases by key, with the fields of a suite, and what could not be carried over."""

    cases: dict[str, dict[str, Writable]]
    left_out: list[str]


def import_scenarios(path: Path, taken: set[str]) -> Imported:
    """Read a LiveKit or a Pipecat file; no key of `taken` is used again.

    Raises:
        BadFile: it is neither, or has no scenario that a suite can hold.
    """
    data = parse_yaml(read_text_file(path), str(path)).to_data()
    if isinstance(data, Mapping) and isinstance(data.get("scenarios"), list):
        imported = _import_livekit(data, taken)
    elif isinstance(data, Mapping) and "persona" in data:
        imported = _import_pipecat(data, path, taken)
    elif isinstance(data, Mapping) and "turns" in data:
        raise BadFile(
            f"{path}: this Pipecat scenario is a script of turns. Only simulated scenarios, with"
            " a persona, can be test cases."
        )
    else:
        raise BadFile(f"{path}: this is neither a LiveKit scenarios.yaml nor a Pipecat scenario.")
    if not imported.cases:
        raise BadFile(f"{path}: it has no scenario with a user and with a criterion.")
    return imported


def _import_livekit(data: Mapping[str, Any], taken: set[str]) -> Imported:
    cases: dict[str, dict[str, Writable]] = {}
    left_out = [f"the file's {name}" for name in data if name not in ("scenarios", "id", "name")]
    for number, scenario in enumerate(data["scenarios"], 1):
        if not isinstance(scenario, Mapping):
            left_out.append(f"scenario {number}: it has no fields")
            continue
        texts, dropped = _import_texts(scenario, ("label", "instructions", "agent_expectations"))
        label = texts["label"]
        fields = _drop_empty(
            {
                "label": label,
                "userPrompt": texts["instructions"],
                "successCriteria": texts["agent_expectations"],
            }
        )
        if not {"userPrompt", "successCriteria"} <= set(fields):
            left_out += [f"scenario {number}: {name}" for name in dropped]
            left_out.append(f"scenario {number}: instructions or agent_expectations are missing")
            continue
        key = make_key(label or f"scenario-{number}", taken | set(cases))
        variables, dropped_data = _read_userdata(scenario.get("userdata"))
        if variables:
            fields["mockData"] = variables
        unknown = [name for name in scenario if name not in LIVEKIT_FIELDS]
        for name in [*unknown, *dropped, *dropped_data]:
            left_out.append(f"{key}: {name}")
        cases[key] = fields
    return Imported(cases, left_out)


def _read_userdata(userdata: Any) -> tuple[dict[str, Writable], list[str]]:
    """Return the texts of userdata as mock data, and the names of other values."""
    if not isinstance(userdata, Mapping):
        return {}, ["userdata"] if userdata else []
    variables: dict[str, Writable] = {}
    dropped = []
    for name, value in userdata.items():
        if isinstance(value, str):
            variables[name] = value
        else:
            dropped.append(f"userdata.{name}")
    return variables, dropped


def _import_pipecat(data: Mapping[str, Any], path: Path, taken: set[str]) -> Imported:
    texts, dropped = _import_texts(data, ("name", "persona", "goal", "success"))
    name = texts["name"] or path.stem
    goal = texts["goal"]
    if goal:
        goal = f"Your goal: {goal}"
    fields = _drop_empty(
        {
            "label": name,
            "userPrompt": "\n\n".join(filter(None, [texts["persona"], goal])),
            "successCriteria": texts["success"],
        }
    )
    unknown = [field for field in data if field not in PIPECAT_FIELDS]
    left_out = [f"{name}: {field}" for field in [*unknown, *dropped]]
    runs = data.get("runs")
    if isinstance(runs, str) and re.fullmatch(r"[1-9][0-9]{0,5}", runs):
        fields["attempts"] = int(runs)
    elif runs is not None:
        left_out.append(f"{name}: runs")
    if not {"userPrompt", "successCriteria"} <= set(fields):
        return Imported({}, left_out)
    return Imported({make_key(name, taken): fields}, left_out)


def _import_texts(
    fields: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the texts of these fields, and the names of the parts that are no text."""
    texts: dict[str, str] = {}
    dropped: list[str] = []
    for name in names:
        texts[name], parts = _import_text(name, fields.get(name))
        dropped += parts
    return texts, dropped


def _import_text(name: str, value: Any) -> tuple[str, list[str]]:
    """Return a text, or the lines of a list of texts, and the names of the other parts."""
    if isinstance(value, list):
        lines, dropped = [], []
        for number, item in enumerate(value, 1):
            text, parts = _import_text(f"item {number} of {name}", item)
            dropped += parts
            if text:
                lines.append(f"- {text}")
        return "\n".join(lines), dropped
    if isinstance(value, Mapping) and len(value) == 1:
        # A text with ": " and without quotation marks is a mapping in YAML.
        [(before, after)] = value.items()
        if isinstance(after, str):
            return f"{before}: {after}".strip(), []
    if isinstance(value, str):
        return value.strip(), []
    return "", [name] if value else []


def _drop_empty(fields: dict[str, str]) -> dict[str, Writable]:
    return {name: value for name, value in fields.items() if value}


def describe_left_out(left_out: list[str]) -> list[str]:
    """Return the lines that say what was not carried over."""
    return [f"not carried over: {quote_word(name)}" for name in left_out]
