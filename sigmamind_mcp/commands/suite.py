"""`sigmamind-mcp suite`: test cases as files."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.commands.api_session import open_client
from sigmamind_mcp.commands.terminal import (
    DONE,
    FAILED,
    FOUND,
    INTERRUPTED,
    ask_for_yes,
    is_person_there,
    print_error,
    print_line,
    print_wrapped,
    tolerate_encodings,
)
from sigmamind_mcp.errors import ConfigurationError, SigmaMindError
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.suites.applying import (
    SAME_COMMAND,
    ApplyOptions,
    DriftRefused,
    apply_plan,
    read_stored_cases,
)
from sigmamind_mcp.suites.importing import describe_left_out, import_scenarios
from sigmamind_mcp.suites.lock_file import Lock, load_lock, name_lock
from sigmamind_mcp.suites.plan import Plan, make_plan
from sigmamind_mcp.suites.plan_text import list_plan_lines
from sigmamind_mcp.suites.pulling import EditsRefused, pull_cases, start_suite
from sigmamind_mcp.suites.shown_text import show_text
from sigmamind_mcp.suites.suite_file import Suite, build_schema, load_suite, parse_suite
from sigmamind_mcp.suites.yaml_text import Writable, write_member
from sigmamind_mcp.suites.yaml_tree import BadFile, write_text_file

if TYPE_CHECKING:
    from sigmamind_mcp.suites.checking import PlacedFinding


class SuiteState(NamedTuple):
    """A suite with its lock, its stored cases and what they need."""

    suite: Suite
    lock: Lock
    stored: list[TestCase]
    plan: Plan


def run_suite(options: argparse.Namespace, settings: Settings) -> int:
    """Run one command of `suite` and return its exit status."""
    tolerate_encodings()
    try:
        return _run_command(options, settings)
    except (DriftRefused, EditsRefused) as exc:
        print_error(exc)
        # 1 is a verdict on the agent, which a run that could not start does not have.
        return FAILED if options.suite_command == "run" else FOUND
    except SigmaMindError as exc:
        print_error(exc)
        return FAILED
    except KeyboardInterrupt:
        hint = "" if options.suite_command == "run" else f" {SAME_COMMAND}"
        print(f"sigmamind-mcp: interrupted.{hint}", file=sys.stderr)
        return INTERRUPTED


def _run_command(options: argparse.Namespace, settings: Settings) -> int:
    match options.suite_command:
        case "schema":
            print(json.dumps(build_schema(), indent=2))
            return DONE
        case "import":
            return _run_import(options)
        case "pull":
            return anyio.run(_run_pull, options, settings)
        case "check":
            return anyio.run(_run_check, options, settings)
        case "run":
            return anyio.run(_run_suite_gate, options, settings)
        case "plan":
            return anyio.run(_run_plan, options, settings)
        case _:
            return anyio.run(_run_apply, options, settings)


def _choose_agent(options: argparse.Namespace, settings: Settings, in_file: str | None) -> str:
    agent_id: str | None = options.agent or in_file or settings.agent_id
    if agent_id is None:
        raise ConfigurationError(
            "No agent is named. Write 'agent: agent_…' into the file, or use --agent or"
            " SIGMAMIND_AGENT_ID."
        )
    return agent_id


async def _read_state(
    suite: Suite, agent_id: str, options: argparse.Namespace, api: SigmaMindClient
) -> SuiteState:
    lock = load_lock(options.lock or name_lock(suite.path), agent_id)
    stored = await read_stored_cases(agent_id, api)
    return SuiteState(suite, lock, stored, make_plan(suite, lock, stored))


async def _run_plan(options: argparse.Namespace, settings: Settings) -> int:
    suite = load_suite(options.file)
    agent_id = _choose_agent(options, settings, suite.agent_id)
    async with open_client(settings, {"agentId": agent_id}) as api:
        state = await _read_state(suite, agent_id, options, api)
    for line in list_plan_lines(state.plan):
        print_line(line)
    return FOUND if options.exit_code and state.plan.has_changes else DONE


async def _run_apply(options: argparse.Namespace, settings: Settings) -> int:
    suite = load_suite(options.file)
    agent_id = _choose_agent(options, settings, suite.agent_id)
    choices = ApplyOptions(overwrite=options.overwrite, retire=options.retire)
    async with open_client(settings, {"agentId": agent_id}) as api:
        state = await _read_state(suite, agent_id, options, api)
        for line in list_plan_lines(state.plan, retire=options.retire):
            print_line(line)
        _require_no_drift(state.plan, choices)
        is_written = _is_written(state.plan, choices)
        if is_written:
            if settings.read_only:
                raise ConfigurationError("SIGMAMIND_READ_ONLY is set, so nothing was written.")
            if not await _agrees_to_apply(options):
                print_line("Nothing was written.")
                return FOUND
        await apply_plan(suite, state.lock, state.plan, api, options=choices, report=print_line)
    if is_written and settings.sandbox:
        _warn_of_lost_sandbox(state.lock)
    else:
        print_line(f"Done. Commit {suite.path} and {state.lock.path}.")
    return DONE


def _warn_of_lost_sandbox(lock: Lock) -> None:
    print_error(
        SigmaMindError(
            "warning: this sandbox ends with the command, and what was stored is lost."
            f" {lock.path} now names test cases that no later command finds; do not commit it. To"
            " keep them, start 'sigmamind-mcp sandbox --db sandbox.db' and use its address."
        )
    )


async def _run_suite_gate(options: argparse.Namespace, settings: Settings) -> int:
    from sigmamind_mcp.commands.suite_run import Gate, require_writable_outputs, run_gate

    suite = load_suite(options.file)
    agent_id = _choose_agent(options, settings, suite.agent_id)
    if settings.read_only:
        raise ConfigurationError("SIGMAMIND_READ_ONLY is set, so nothing was started.")
    require_writable_outputs(options)
    async with open_client(settings, {"agentId": agent_id}) as api:
        state = await _read_state(suite, agent_id, options, api)
        if not state.plan.is_empty:
            state = await _apply_before_run(state, options, api)
            if settings.sandbox:
                _warn_of_lost_sandbox(state.lock)
        gate = Gate(suite, state.lock, _map_stored(state.plan))
        return await run_gate(options, gate, api)


def _map_stored(plan: Plan) -> dict[str, TestCase]:
    """Return the stored test cases of a suite, by key."""
    stored = {}
    for case in plan.cases:
        if case.stored is not None:
            stored[case.key] = case.stored
    return stored


async def _apply_before_run(
    state: SuiteState, options: argparse.Namespace, api: SigmaMindClient
) -> SuiteState:
    """Store the suite, and return its new state.

    Raises:
        ConfigurationError: the run may not apply.
    """
    for line in list_plan_lines(state.plan):
        print_line(line)
    if options.dry_run:
        raise ConfigurationError(
            "The stored cases are not those of the file, and --dry-run stores nothing, also with"
            " --apply. Run 'suite apply' first: --dry-run shows the cost of the stored cases."
        )
    if not options.apply:
        raise ConfigurationError(
            "The stored cases are not those of the file. Apply it first, or run with --apply."
            " Nothing was started."
        )
    choices = ApplyOptions()
    _require_no_drift(state.plan, choices)
    suite, lock = state.suite, state.lock
    await apply_plan(suite, lock, state.plan, api, options=choices, report=print_line)
    return await _read_state(suite, lock.agent_id, options, api)


def _require_no_drift(plan: Plan, choices: ApplyOptions) -> None:
    if choices.overwrite:
        return
    drifted = [case.key for case in plan.list_cases("drifted")]
    if drifted:
        raise DriftRefused(
            f"Changed in the dashboard since the last apply: {', '.join(drifted[:10])}. Nothing was"
            " written. 'suite pull' takes the changes into the file, --overwrite replaces them."
        )


def _is_written(plan: Plan, choices: ApplyOptions) -> bool:
    has_orphans = bool(plan.list_cases("orphan"))
    return not plan.is_empty or (choices.retire and has_orphans)


async def _agrees_to_apply(options: argparse.Namespace) -> bool:
    """Return whether a person agrees, or agreed with --yes.

    Raises:
        ConfigurationError: there is nobody to ask.
    """
    if options.yes:
        return True
    if not is_person_there():
        raise ConfigurationError("Nothing was written: without a terminal, apply needs --yes.")
    return await ask_for_yes("Store this?")


async def _run_pull(options: argparse.Namespace, settings: Settings) -> int:
    path: Path = options.file
    old = _load_if_exists(path)
    agent_id = _choose_agent(options, settings, old.agent_id if old else None)
    suite = old or parse_suite(start_suite(agent_id), path)
    async with open_client(settings, {"agentId": agent_id}) as api:
        state = await _read_state(suite, agent_id, options, api)
    pulled = pull_cases(suite, state.lock, state.plan, state.stored, overwrite=options.overwrite)
    # The file comes first: without its lock, the next pull finds the same cases by their content.
    if old is None or pulled.text != suite.text:
        write_text_file(path, pulled.text)
    state.lock.save()
    for name in pulled.left_out:
        print_line(f"left out, since the file cannot hold it: {name}")
    for name in pulled.defaulted:
        print_line(f"not shown by the API, so the next apply stores the default: {name}")
    added = pluralize(len(pulled.added), "case")
    print_wrapped(
        f"{path}: {added} added, {len(pulled.changed)} changed. Commit it with {state.lock.path}."
    )
    return DONE


def _load_if_exists(path: Path) -> Suite | None:
    return load_suite(path) if path.exists() else None


async def _run_check(options: argparse.Namespace, settings: Settings) -> int:
    # Its patterns are slow to compile.
    from sigmamind_mcp.suites.checking import check_suite

    suite = load_suite(options.file)
    if options.offline:
        found = check_suite(suite)
    else:
        agent_id = _choose_agent(options, settings, suite.agent_id)
        async with open_client(settings, {"agentId": agent_id}) as api:
            agent = await api.get_agent(agent_id)
            state = await _read_state(suite, agent_id, options, api)
        linked = _map_stored(state.plan)
        found = check_suite(suite, agent=agent, stored=state.stored, linked=linked)
    for placed in found:
        _print_finding(placed)
    problems = sum(placed.finding.severity == "problem" for placed in found)
    cases = pluralize(len(suite.cases), "case")
    named_problems = pluralize(problems, "problem")
    pieces = pluralize(len(found) - problems, "piece")
    print_wrapped(f"{cases}: {named_problems}, {pieces} of advice.")
    counted = problems if options.allow_advice else len(found)
    return FOUND if counted else DONE


def _print_finding(placed: "PlacedFinding") -> None:
    finding = placed.finding
    print_line(f"{placed.place}: {finding.severity}, {placed.key}: {finding.reason}")
    print_line(f"    {finding.suggestion}")
    for words in finding.quotes:
        print_line(f"    the words: {show_text(words)}")


def _run_import(options: argparse.Namespace) -> int:
    output: Path = options.output
    if output.exists():
        raise BadFile(f"{output}: it exists already. Name another file with --output.")
    cases: dict[str, dict[str, Writable]] = {}
    left_out: list[str] = []
    for source in options.sources:
        imported = import_scenarios(source, set(cases))
        cases.update(imported.cases)
        left_out += imported.left_out
    text = write_member("suite", 1, indent=0)
    if options.agent:
        text += write_member("agent", options.agent, indent=0)
    text += write_member("cases", cases, indent=0)
    parse_suite(text, output)
    write_text_file(output, text)
    for line in describe_left_out(left_out):
        print_line(line)
    print_wrapped(
        f"{output}: {pluralize(len(cases), 'case')}. Check the file with"
        " 'sigmamind-mcp suite check'."
    )
    return DONE
