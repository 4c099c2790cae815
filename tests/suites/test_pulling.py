"""Pulling: the file gets what is stored, and keeps what it says itself."""

import copy

import pytest

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.suites.lock_file import Lock
from sigmamind_mcp.suites.plan import SuiteConflict, make_plan
from sigmamind_mcp.suites.pulling import EditsRefused, pull_cases
from sigmamind_mcp.suites.suite_file import load_suite, parse_suite
from tests.conftest import RoundCount
from tests.support.random_suites import World
from tests.support.stored_cases import AGENT_ID, CaseStore

pytestmark = pytest.mark.anyio

FIELDS = {"userPrompt": "You are Ana.", "successCriteria": "It refunds.", "attempt": 3}
COMMENTED = f"""\
# The refund desk.
suite: 1
agent: {AGENT_ID}
defaults:
  attempts: 3  # cheap

cases:
  # The oldest case.
  kettle:
    label: Kettle  # short
    bar: 0.8
    userPrompt: You are Ana.  # the persona
    successCriteria: |
      It refunds.

  # The end.
"""


@pytest.fixture
def kettle(store: CaseStore) -> dict[str, object]:
    return store.cases[store.add(label="Kettle", **FIELDS)]


async def test_plan_after_a_pull_is_empty_and_the_second_pull_is_identical(
    world: World, rounds: RoundCount
) -> None:
    for _ in range(rounds(short=25, long=300)):
        world.store.cases.clear()
        for _ in range(world.random.randint(0, 5)):
            fields = world.fields()
            values = fields.pop("mockData", {})
            mock = [{"variableName": name, "value": value} for name, value in values.items()]
            attempts = fields.pop("attempts", 1)
            world.store.add(
                **fields, mockData=mock * world.random.choice([1, 1, 2]), attempt=attempts
            )
        for path in world.folder.iterdir():
            path.unlink()

        first = await world.pull()
        plan = await world.plan()
        world.store.set_fault(None)
        await world.apply()

        assert not plan.has_changes and {case.action for case in plan.cases} <= {"unchanged"}
        assert world.store.writes == 0
        lock = (world.folder / "suite.lock.json").read_bytes()
        assert await world.pull() == first
        assert (world.folder / "suite.lock.json").read_bytes() == lock


async def test_pull_edits_the_file_in_place(world: World, kettle: dict[str, object]) -> None:
    world.path.write_text(COMMENTED, encoding="utf-8")
    await world.apply()
    kettle.update(userPrompt="You are Eva,\nand angry.", attempt=7, label="Old kettle [kettle]")
    world.store.add(label="Tea", **FIELDS)

    pulled = await world.pull()

    assert pulled == COMMENTED.replace("label: Kettle  #", "label: Old kettle  #").replace(
        "    userPrompt: You are Ana.  # the persona\n",
        "    # the persona\n    userPrompt: |-\n      You are Eva,\n      and angry.\n",
    ).replace("    label", "    attempts: 7\n    label").replace(
        "      It refunds.\n",
        "      It refunds.\n  tea:\n    label: Tea\n    userPrompt: You are Ana.\n"
        "    successCriteria: It refunds.\n    attempts: 3\n",
    )
    assert not (await world.plan()).has_changes


async def test_random_edits_of_the_dashboard_arrive_in_the_file(
    world: World, rounds: RoundCount
) -> None:
    for _ in range(rounds(short=25, long=300)):
        world.store.cases.clear()
        (world.folder / "suite.lock.json").unlink(missing_ok=True)
        world.cases = {f"case-{number}": world.fields() for number in range(3)}
        world.write_file()
        await world.apply()
        before = copy.deepcopy(world.store.cases)
        for _ in range(world.random.randint(0, 3)):
            world.edit_in_dashboard()

        await world.pull()

        assert not (await world.plan()).has_changes
        if world.store.cases == before:
            assert world.path.read_text(encoding="utf-8").startswith("suite: 1\nagent:")


async def test_line_ends_of_windows_stay(world: World, kettle: dict[str, object]) -> None:
    world.path.write_text(COMMENTED, encoding="utf-8", newline="\r\n")
    await world.apply()
    kettle["userPrompt"] = "You are Eva,\nand angry."

    pulled = await world.pull()

    assert pulled.count("\r\n") == pulled.count("\n") and "Eva" in pulled
    assert not (await world.plan()).has_changes


async def test_edit_of_the_file_that_was_never_applied_is_not_lost(
    world: World, kettle: dict[str, object]
) -> None:
    world.path.write_text(COMMENTED, encoding="utf-8")
    await world.apply()
    kettle["userPrompt"] = "You are Eva."
    edited = COMMENTED.replace("It refunds.", "It says sorry.")
    world.path.write_text(edited, encoding="utf-8")

    with pytest.raises(EditsRefused, match=r"never applied: kettle \(successCriteria\)"):
        await world.pull()
    assert world.path.read_text(encoding="utf-8") == edited

    assert "You are Eva." in await world.pull(overwrite=True)


async def test_case_in_brackets_is_refused_at_its_line(
    world: World, kettle: dict[str, object]
) -> None:
    text = f"suite: 1\nagent: {AGENT_ID}\ncases:\n  kettle: {{label: Kettle, userPrompt: You are Ana.}}\n"
    world.path.write_text(text, encoding="utf-8")
    kettle["label"] = "Kettle [kettle]"
    await world.apply()
    kettle["userPrompt"] = "You are Eva."

    with pytest.raises(SuiteConflict, match="suite.yaml:4: 'kettle' is written in brackets"):
        await world.pull()
    assert world.path.read_text(encoding="utf-8") == text


async def test_retired_and_orphaned_cases_are_not_pulled_again(
    world: World, kettle: dict[str, object]
) -> None:
    await world.pull()
    world.path.write_text(f"suite: 1\nagent: {AGENT_ID}\ncases: {{}}\n", encoding="utf-8")
    before = await world.pull()
    await world.apply(retire=True)

    assert kettle["label"] == "retired: Kettle [kettle]"
    assert await world.pull() == before and "kettle" not in before


async def test_two_stored_cases_with_one_key_are_named(world: World) -> None:
    world.store.add(label="Kettle [a]", **FIELDS)
    world.store.add(label="Teapot [a]", **FIELDS)

    with pytest.raises(SuiteConflict, match=r"tc_00000002 carries the key \[a\] of another"):
        await world.pull()
    assert list(world.folder.iterdir()) == []


async def test_what_a_file_cannot_hold_stays_as_it_is_stored(world: World) -> None:
    world.store.add(**{**FIELDS, "label": "x" * 300, "userPrompt": "  "})

    pulled = await world.pull()

    assert "label" not in pulled and "userPrompt" not in pulled
    assert not (await world.plan()).has_changes


DEFAULTS = """\
defaults:
  userPrompt: You are Tom.
  successCriteria: It says sorry.
  mockData:
    plan: gold
  llmModel: gpt-5.2
  attempts: 20
  bar: 0.8
  quarantine: true
"""


@pytest.fixture
def world_with_defaults(world: World) -> World:
    text = f"suite: 1\nagent: {AGENT_ID}\n{DEFAULTS}cases: {{}}\n"
    world.path.write_text(text, encoding="utf-8")
    return world


@pytest.mark.parametrize("mock_data", [[], [{"variableName": "plan", "value": "free"}]])
@pytest.mark.parametrize("model", ["", None, "gpt-4o"])
async def test_defaults_replace_nothing_that_is_stored(
    world_with_defaults: World, mock_data: list[dict[str, str]], model: str | None
) -> None:
    world = world_with_defaults
    world.store.add(label="Kettle", **FIELDS, mockData=mock_data, llmModel=model)
    before = copy.deepcopy(world.store.cases)

    await world.pull()
    plan = await world.plan()
    await world.apply()

    assert not plan.has_changes and world.store.cases == before


@pytest.mark.parametrize("name", ["userPrompt", "successCriteria"])
@pytest.mark.parametrize("value", ["", " \n", "x" * 100_001])
async def test_default_for_what_the_file_cannot_hold_is_refused(
    world_with_defaults: World, name: str, value: str
) -> None:
    world = world_with_defaults
    world.store.add(**{**FIELDS, "label": "Kettle", name: value})
    before = world.path.read_text(encoding="utf-8")

    with pytest.raises(SuiteConflict, match=rf"Remove {name} from the defaults\. Nothing was"):
        await world.pull()
    assert world.path.read_text(encoding="utf-8") == before


async def test_default_for_what_the_api_does_not_show_is_named(world_with_defaults: World) -> None:
    suite = load_suite(world_with_defaults.path)
    lock = Lock(world_with_defaults.folder / "suite.lock.json", AGENT_ID)
    shown = {"userPrompt": "You are Ana.", "successCriteria": "It refunds."}
    stored = [TestCase.read({"testCaseId": "tc_1", "label": "Kettle", **shown})]

    plan = make_plan(suite, lock, stored)
    pulled = pull_cases(suite, lock, plan, stored, overwrite=False)

    assert pulled.defaulted == ["kettle (mockData)", "kettle (llmModel)", "kettle (attempts)"]
    planned = make_plan(parse_suite(pulled.text, suite.path), lock, stored).cases[0]
    assert set(planned.changes) == {"mockData", "llmModel", "attempt"}


async def test_edit_of_a_field_that_the_api_does_not_show_is_still_applied_after_a_pull(
    world: World, kettle: dict[str, object]
) -> None:
    await world.pull()
    await world.apply()
    del kettle["attempt"]
    text = world.path.read_text(encoding="utf-8").replace("attempts: 3", "attempts: 4")
    world.path.write_text(text, encoding="utf-8")

    await world.pull()
    plan = await world.plan()

    assert [case.changes for case in plan.cases] == [{"attempt": 4}]
