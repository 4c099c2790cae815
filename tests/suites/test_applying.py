"""Applying a plan: each write once, the same command completes it, nothing is lost."""

from itertools import count

import anyio
import pytest

from sigmamind_mcp.errors import NotAuthenticated, OutcomeUnknown, SigmaMindError, TooManyRequests
from sigmamind_mcp.suites.applying import DriftRefused
from sigmamind_mcp.suites.lock_file import load_lock, name_lock
from sigmamind_mcp.suites.plan import SuiteConflict
from tests.conftest import RoundCount
from tests.support.faulty_api import FAULTS
from tests.support.random_suites import World, run_round, short_waits
from tests.support.stored_cases import AGENT_ID, CaseStore

pytestmark = pytest.mark.anyio

FIELDS = {"label": "Kettle", "userPrompt": "You are Ana.", "successCriteria": "It refunds."}


@pytest.fixture
def two_cases(world: World) -> World:
    world.cases = {"a": dict(FIELDS), "b": {**FIELDS, "label": "Teapot"}}
    world.write_file()
    return world


def labels(store: CaseStore) -> list[str]:
    return [case["label"] for case in store.cases.values()]


async def test_cases_are_stored_with_their_keys(two_cases: World) -> None:
    await two_cases.apply()

    assert labels(two_cases.store) == ["Kettle [a]", "Teapot [b]"]
    assert two_cases.store.writes == 2


async def test_second_apply_of_random_suites_writes_nothing(
    world: World, rounds: RoundCount, figures: list[str]
) -> None:
    count_of_rounds = rounds(short=60, long=1_000)
    wrong = []
    for number in range(count_of_rounds):
        if number % 6 == 0:
            world.cases.clear()
            world.store.cases.clear()
            (world.folder / "suite.lock.json").unlink(missing_ok=True)
        wrong += await run_round(world, None)

    figures.append(f"suites: {count_of_rounds} random suites and edits, {len(wrong)} second writes")
    assert wrong == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_at_a_random_request_duplicates_and_loses_nothing(
    fault: str, world: World
) -> None:
    for _ in range(4):
        assert await run_round(world, fault) == []


@pytest.mark.parametrize("fault", ["429", "500", "reset after the body", "truncated"])
@pytest.mark.parametrize("executes", [True, False])
async def test_same_command_completes_an_apply_that_failed_at_any_request(
    fault: str, executes: bool, two_cases: World
) -> None:
    world, store = two_cases, two_cases.store
    failures = 0
    for at in count(1):
        store.cases.clear()
        (world.folder / "suite.lock.json").unlink(missing_ok=True)
        store.set_fault(fault, at, executes=executes, stays=True)
        with short_waits():
            try:
                await world.apply()
            except SigmaMindError:
                failures += 1
        is_over = store.number < at
        store.set_fault(None)
        await world.apply()
        assert world.find_faults() == [] and len(store.cases) == 2
        if is_over:
            break
    assert failures >= 4


async def test_crash_at_any_request_is_completed_by_the_same_command(two_cases: World) -> None:
    """A cancelled apply, as after Ctrl-C, may leave out the lock of its last write."""
    world, store = two_cases, two_cases.store
    for at in range(1, 8):
        store.cases.clear()
        (world.folder / "suite.lock.json").unlink(missing_ok=True)
        store.set_fault("silent", at, executes=True)
        with short_waits(), anyio.move_on_after(0.05):
            await world.apply()
        store.set_fault(None)
        await world.apply()
        assert world.find_faults() == [] and len(store.cases) == 2


@pytest.mark.parametrize(("status", "error"), [("401", NotAuthenticated), ("429", TooManyRequests)])
async def test_refusal_of_the_api_stops_at_once(
    status: str, error: type[Exception], two_cases: World
) -> None:
    two_cases.store.set_fault(status, 3)

    with pytest.raises(error):
        await two_cases.apply()
    assert two_cases.store.cases == {}


async def test_drift_writes_nothing_at_all(two_cases: World) -> None:
    await two_cases.apply()
    two_cases.store.cases["tc_00000001"]["userPrompt"] = "You are Eva."
    two_cases.cases["b"]["attempts"] = 9
    two_cases.write_file()
    two_cases.store.set_fault(None)

    with pytest.raises(DriftRefused):
        await two_cases.apply()
    assert two_cases.store.writes == 0

    await two_cases.apply(overwrite=True)
    assert two_cases.find_faults() == []


async def test_edit_between_plan_and_write_is_not_overwritten(two_cases: World) -> None:
    await two_cases.apply()
    two_cases.cases["a"]["userPrompt"] = "You are Tom."
    two_cases.write_file()
    store = two_cases.store
    edited = {**store.cases["tc_00000001"], "userPrompt": "You are Eva."}
    show = store._show

    def show_edited(test_case_id: str) -> dict[str, object]:
        # The second read comes just before the write.
        if store.number == 2:
            store.cases["tc_00000001"] = edited
        return show(test_case_id)

    store._show = show_edited  # type: ignore[method-assign]
    store.set_fault(None)

    with pytest.raises(DriftRefused, match="changed by somebody else in the meantime: userPrompt"):
        await two_cases.apply()
    assert store.cases["tc_00000001"]["userPrompt"] == "You are Eva." and store.writes == 0


async def test_what_is_not_changed_goes_back_exactly_as_it_was(two_cases: World) -> None:
    await two_cases.apply()
    odd = {"successCriteria": "It refunds. \n\n", "llmModel": "gpt-9\u200b"}
    two_cases.store.cases["tc_00000001"].update(odd)
    two_cases.cases["a"]["attempts"] = 4
    two_cases.write_file()

    await two_cases.apply()

    stored = two_cases.store.cases["tc_00000001"]
    assert {name: stored[name] for name in odd} == odd and stored["attempt"] == 4


async def test_orphan_stays_and_retire_renames_it_once(two_cases: World) -> None:
    await two_cases.apply()
    del two_cases.cases["a"]
    two_cases.write_file()
    await two_cases.apply()
    assert labels(two_cases.store)[0] == "Kettle [a]"

    await two_cases.apply(retire=True)
    two_cases.store.set_fault(None)
    await two_cases.apply(retire=True)

    assert labels(two_cases.store)[0] == "retired: Kettle [a]" and two_cases.store.writes == 0


async def test_retired_key_that_comes_back_gets_its_name_back(two_cases: World) -> None:
    await two_cases.apply()
    removed = two_cases.cases.pop("a")
    two_cases.write_file()
    await two_cases.apply(retire=True)
    two_cases.cases["a"] = removed
    two_cases.write_file()

    await two_cases.apply()

    assert labels(two_cases.store)[0] == "Kettle [a]" and len(two_cases.store.cases) == 2


async def test_api_that_shows_no_labels_gets_no_duplicates(two_cases: World) -> None:
    store = two_cases.store
    store.shows_label = False
    store.set_fault("reset after the body", 3, executes=True, stays=True)
    with short_waits(), pytest.raises(OutcomeUnknown):
        await two_cases.apply()
    store.set_fault(None)

    await two_cases.apply()
    store.set_fault(None)
    await two_cases.apply()

    assert labels(store) == ["Kettle [a]", "Teapot [b]"] and store.writes == 0


async def test_api_that_trims_texts_is_not_written_again_and_again(two_cases: World) -> None:
    two_cases.store.trims = True
    two_cases.cases["a"].update({"label": "  Kettle", "mockData": {"x": " y "}})
    two_cases.write_file()
    await two_cases.apply()
    two_cases.store.set_fault(None)

    await two_cases.apply()

    assert two_cases.store.writes == 0


async def test_list_that_is_not_whole_writes_nothing(two_cases: World) -> None:
    store = two_cases.store
    listed = store._list

    def hide_one(query: dict[str, str]) -> object:
        return {**listed(query), "totalCount": 1}

    store._list = hide_one  # type: ignore[method-assign]

    with pytest.raises(SuiteConflict, match="1 or more stored test cases"):
        await two_cases.apply()
    assert store.cases == {}


async def test_suite_of_200_cases_is_planned_in_three_requests(
    world: World, figures: list[str]
) -> None:
    world.cases = {f"case-{number}": world.fields() for number in range(200)}
    world.write_file()
    for key, fields in world.cases.items():
        world.store.add(**{**fields, "label": f"x [{key}]", "mockData": []})
    world.store.set_fault(None)

    plan = await world.plan()

    figures.append(f"suites: 200 cases are planned in {world.store.number} requests")
    assert len(plan.cases) == 200 and world.store.number <= 3


@pytest.mark.parametrize("retire", [False, True])
@pytest.mark.parametrize("command", ["apply", "pull"])
async def test_lock_from_before_a_rename_is_brought_up_to_date(
    two_cases: World, command: str, *, retire: bool
) -> None:
    await two_cases.apply()
    old_lock = name_lock(two_cases.path).read_bytes()
    two_cases.cases["new"] = two_cases.cases.pop("a")
    two_cases.renamed = {"new": "a"}
    two_cases.write_file()
    await two_cases.apply()
    two_cases.renamed = {}
    two_cases.write_file()
    name_lock(two_cases.path).write_bytes(old_lock)

    plan = await two_cases.plan()
    if command == "pull":
        await two_cases.pull()
    await two_cases.apply(retire=retire)

    assert [(case.key, case.action) for case in plan.cases] == [
        ("b", "unchanged"),
        ("new", "unchanged"),
    ]
    assert labels(two_cases.store) == ["Kettle [new]", "Teapot [b]"]
    assert set(load_lock(name_lock(two_cases.path), AGENT_ID).cases) == {"new", "b"}


async def test_retired_case_that_got_another_key_is_in_the_lock_once(two_cases: World) -> None:
    await two_cases.apply()
    fields = two_cases.cases.pop("a")
    two_cases.write_file()
    await two_cases.apply(retire=True)
    two_cases.store.cases["tc_00000001"]["label"] = "Kettle [new]"
    two_cases.cases["new"] = fields
    two_cases.write_file()

    await two_cases.apply()

    assert set(load_lock(name_lock(two_cases.path), AGENT_ID).cases) == {"new", "b"}


@pytest.mark.parametrize("has_label", [True, False])
@pytest.mark.parametrize("has_lock", [True, False])
@pytest.mark.parametrize("label", ["Kettle", ""])
async def test_retired_key_comes_back_without_the_word_retired(
    two_cases: World, label: str, *, has_label: bool, has_lock: bool
) -> None:
    two_cases.cases["a"]["label"] = label
    two_cases.write_file()
    await two_cases.apply()
    stored = labels(two_cases.store)[0]
    fields = two_cases.cases.pop("a")
    two_cases.write_file()
    await two_cases.apply(retire=True)
    assert labels(two_cases.store)[0] == f"retired: {label} [a]"
    if not has_label:
        del fields["label"]
    two_cases.cases["a"] = fields
    two_cases.write_file()
    if not has_lock:
        name_lock(two_cases.path).unlink()

    await two_cases.apply(overwrite=not has_lock)
    two_cases.store.set_fault(None)
    await two_cases.apply()

    assert labels(two_cases.store)[0] == stored and two_cases.store.writes == 0
    del two_cases.cases["a"]
    two_cases.write_file()
    assert [case.key for case in (await two_cases.plan()).list_cases("orphan")] == ["a"]


async def test_retired_case_without_a_key_is_adopted_under_its_old_name(world: World) -> None:
    world.store.add(**{**FIELDS, "label": "retired: Kettle"})
    world.cases = {"a": {name: FIELDS[name] for name in ("userPrompt", "successCriteria")}}
    world.write_file()

    await world.apply()

    assert labels(world.store) == ["Kettle [a]"]
