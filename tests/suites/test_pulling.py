"""Pulling: the file gets what is stored, and keeps what it says itself."""

import copy

import pytest

from sigmamind_mcp.suites.plan import SuiteConflict
from sigmamind_mcp.suites.pulling import EditsRefused
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
