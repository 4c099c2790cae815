"""Random suites and edits, applied to a store of test cases with faults."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from pydantic import SecretStr

from sigmamind_mcp.api import transport as transport_module
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.suites import applying
from sigmamind_mcp.suites.applying import (
    ApplyOptions,
    DriftRefused,
    apply_plan,
    expect_full_pages,
    read_stored_cases,
)
from sigmamind_mcp.suites.lock_file import load_lock, name_lock
from sigmamind_mcp.suites.plan import Plan, make_plan
from sigmamind_mcp.suites.pulling import pull_cases, start_suite
from sigmamind_mcp.suites.stored_fields import split_label
from sigmamind_mcp.suites.suite_file import load_suite, parse_suite
from sigmamind_mcp.suites.yaml_text import write_member
from tests.support.stored_cases import AGENT_ID, CaseStore

WORDS = (
    "You are Ana",
    "and you want a refund: now",
    "# not a comment",
    "'quoted' \"twice\"",
    "\nnew line",
    "::error::x",
    "[Brackets]",
    "no",
    "é日😀",
    "\ttab",
    "- item",
    "{{name}}",
    "retired: ",
    "  ",
)


@dataclass
class World:
    """A suite in a folder and the API that it is applied to."""

    folder: Path
    store: CaseStore
    random: Random
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "suite.yaml"

    def text(self) -> str:
        return "x " + " ".join(self.random.choices(WORDS, k=self.random.randint(1, 6)))

    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"userPrompt": self.text(), "successCriteria": self.text()}
        if self.random.random() < 0.8:
            fields["label"] = self.text()[:60]
        if self.random.random() < 0.5:
            fields["mockData"] = {
                f"v{number}": self.text() for number in range(self.random.randint(0, 3))
            }
        if self.random.random() < 0.5:
            fields["attempts"] = self.random.randint(1, 20)
        if self.random.random() < 0.3:
            fields["llmModel"] = self.random.choice(["gpt-5.2", "gpt-4o"])
        return fields

    def edit_file(self) -> None:
        """Add, change, remove or rename a case of the file."""
        self.renamed = {}
        kind = self.random.choice(["add", "add", "change", "change", "remove", "rename"])
        key = self.random.choice(list(self.cases)) if self.cases else None
        if kind == "add" or key is None:
            number = len(self.cases)
            while f"case-{number}" in self.cases:
                number += 1
            self.cases[f"case-{number}-{self.random.randint(0, 10**6)}"] = self.fields()
        elif kind == "change":
            name = self.random.choice(list(self.cases[key]))
            self.cases[key][name] = self.fields().get(name, self.cases[key][name])
        elif kind == "remove":
            del self.cases[key]
        else:
            new = f"renamed-{self.random.randint(0, 10**9)}"
            self.cases[new] = self.cases.pop(key)
            self.renamed[new] = key

    def write_file(self) -> None:
        cases = {
            key: {**fields, **({"was": self.renamed[key]} if key in self.renamed else {})}
            for key, fields in self.cases.items()
        }
        text = f"suite: 1\nagent: {AGENT_ID}\n" + write_member("cases", cases, indent=0)
        self.path.write_text(text, encoding="utf-8", newline="\n")

    async def apply(self, **options: bool) -> None:
        """Run one apply as the command does, with a client of its own and without retries."""
        async with APITransport(self.store.url, tries=1) as transport:
            expect_full_pages(transport)
            api = SigmaMindClient(transport, SecretStr("key-of-a-test"))
            suite = load_suite(self.path)
            lock = load_lock(name_lock(self.path), AGENT_ID)
            plan = make_plan(suite, lock, await read_stored_cases(AGENT_ID, api))
            choices = ApplyOptions(**options)
            await apply_plan(suite, lock, plan, api, options=choices, report=lambda line: None)

    async def pull(self, *, overwrite: bool = False) -> str:
        """Run one pull as the command does, and return the new text."""
        async with APITransport(self.store.url, tries=1) as transport:
            expect_full_pages(transport)
            api = SigmaMindClient(transport, SecretStr("key-of-a-test"))
            suite = (
                load_suite(self.path)
                if self.path.exists()
                else parse_suite(start_suite(AGENT_ID), self.path)
            )
            lock = load_lock(name_lock(self.path), AGENT_ID)
            stored = await read_stored_cases(AGENT_ID, api)
            plan = make_plan(suite, lock, stored)
            pulled = pull_cases(suite, lock, plan, stored, overwrite=overwrite)
            self.path.write_text(pulled.text, encoding="utf-8", newline="")
            lock.save()
            return pulled.text

    async def plan(self) -> Plan:
        async with APITransport(self.store.url, tries=1) as transport:
            expect_full_pages(transport)
            api = SigmaMindClient(transport, SecretStr("key-of-a-test"))
            suite = load_suite(self.path)
            lock = load_lock(name_lock(self.path), AGENT_ID)
            return make_plan(suite, lock, await read_stored_cases(AGENT_ID, api))

    def edit_in_dashboard(self) -> tuple[str, str, Any] | None:
        """Change a managed field of a stored case; return its id, the field and the value."""
        managed = {
            split_label(case.get("label")).key: case_id
            for case_id, case in self.store.cases.items()
        }
        keys = [key for key in self.cases if key in managed]
        if not keys:
            return None
        key = self.random.choice(keys)
        name = self.random.choice(["userPrompt", "successCriteria"])
        value = f"edited in the dashboard {self.random.random()}"
        self.store.cases[managed[key]][name] = value
        return managed[key], name, value

    def find_faults(self) -> list[str]:
        """Compare what is stored with the file; return what is wrong."""
        faults = []
        carried = [split_label(case.get("label")).key for case in self.store.cases.values()]
        for key, fields in self.cases.items():
            found = [
                case
                for case in self.store.cases.values()
                if split_label(case.get("label")).key == key
            ]
            if len(found) != 1:
                faults.append(f"{key} is stored {len(found)} times")
                continue
            faults += [
                f"{key}: {name} is {found[0].get(stored_name)!r}, not {value!r}"
                for name, value in fields.items()
                if not _is_stored(name, value, found[0].get(stored_name := _name(name)))
            ]
        twice = {key for key in carried if key and carried.count(key) > 1}
        return faults + [f"{key} is stored twice" for key in twice]


def _name(name: str) -> str:
    return "attempt" if name == "attempts" else name


def _is_stored(name: str, value: Any, stored: Any) -> bool:
    if name == "mockData":
        return bool(value == {item["variableName"]: item["value"] for item in stored or []})
    if name == "label":
        return bool(split_label(stored).text.rstrip() == value.rstrip())
    return bool(stored == (value.rstrip() if isinstance(value, str) else value))


@contextmanager
def short_waits() -> Iterator[None]:
    """Wait for a silent API, and search for a lost case, for less long than a user does."""
    waits = (transport_module.DEADLINE_SECONDS, applying.SEARCH_PAUSES)
    transport_module.DEADLINE_SECONDS, applying.SEARCH_PAUSES = 0.15, (0.0, 0.0)
    try:
        yield
    finally:
        transport_module.DEADLINE_SECONDS, applying.SEARCH_PAUSES = waits


async def run_round(world: World, fault: str | None) -> list[str]:
    """Edit, apply with a fault at a random request, apply again; return what went wrong."""
    random, store = world.random, world.store
    store.set_fault(None)
    for _ in range(random.randint(1, 3)):
        world.edit_file()
    world.write_file()
    edit = world.edit_in_dashboard() if random.random() < 0.2 else None
    before = copy.deepcopy(store.cases)
    executes, stays = random.random() < 0.5, random.random() < 0.5
    store.set_fault(fault, random.randint(1, 9), executes=executes, stays=stays)
    with short_waits():
        try:
            await world.apply()
        except SigmaMindError:
            pass
    store.set_fault(None)
    faults = []
    if edit is not None and edit[0] in before:
        faults += await _check_drift(world, edit)
    try:
        await world.apply(overwrite=edit is not None)
    except SigmaMindError as exc:
        faults.append(f"the second apply failed: {exc}")
    faults += world.find_faults()
    store.set_fault(None)
    with suppress(SigmaMindError):
        await world.apply()
    if store.writes:
        faults.append(f"an apply without a change wrote {store.writes} times")
    return faults


async def _check_drift(world: World, edit: tuple[str, str, Any]) -> list[str]:
    """Return the faults if an edit of the dashboard was overwritten without a word."""
    test_case_id, name, value = edit
    key = split_label(world.store.cases[test_case_id].get("label")).key
    fields = world.cases.get(str(key), {})
    if name not in fields:
        return []
    if world.store.cases[test_case_id][name] != value:
        return [f"the edit of {name} of {key} was lost"]
    try:
        await world.apply()
    except DriftRefused:
        return []
    except SigmaMindError as exc:
        return [f"drift gave another error: {exc}"]
    return [f"the drift of {name} of {key} was not refused"]
