"""What each case of a suite needs: file, lock and stored cases compared."""

from pathlib import Path
from typing import Any

import pytest

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.suites.lock_file import Lock, LockedCase
from sigmamind_mcp.suites.plan import Plan, SuiteConflict, make_plan
from sigmamind_mcp.suites.plan_text import list_plan_lines
from sigmamind_mcp.suites.stored_fields import AppliedField, record_applied
from sigmamind_mcp.suites.suite_file import Suite, parse_suite
from sigmamind_mcp.suites.yaml_text import write_member

AGENT_ID = "agent_D5D0p7TUs66TTAEAx"
FIELDS = {"label": "Kettle", "userPrompt": "You are Ana.", "successCriteria": "It refunds."}


def build_suite(cases: dict[str, Any]) -> Suite:
    text = "suite: 1\n" + write_member("cases", cases, indent=0)
    return parse_suite(text, Path("suite.yaml"))


def store(test_case_id: str, **fields: Any) -> TestCase:
    return TestCase.read({"testCaseId": test_case_id, "attempt": 1, **FIELDS, **fields})


def lock_with(**cases: TestCase) -> Lock:
    """Return a lock of cases that were applied and are stored as they were."""
    entries = {
        key: LockedCase(case.test_case_id, record_applied({}, case)) for key, case in cases.items()
    }
    return Lock(Path("suite.lock.json"), AGENT_ID, entries)


def show(plan: Plan) -> list[tuple[str, str]]:
    return [(case.key, case.action) for case in plan.cases]


def test_new_case_is_created() -> None:
    plan = make_plan(build_suite({"a": FIELDS}), lock_with(), [])

    assert show(plan) == [("a", "create")] and plan.cases[0].changes == FIELDS


@pytest.mark.parametrize("missing", ["userPrompt", "successCriteria"])
def test_new_case_without_a_definition_is_refused_at_its_line(missing: str) -> None:
    fields = {name: value for name, value in FIELDS.items() if name != missing}

    with pytest.raises(SuiteConflict, match=rf"suite.yaml:3:3: 'a' .* needs {missing}\."):
        make_plan(build_suite({"a": fields}), lock_with(), [])


def test_case_as_applied_is_unchanged_with_and_without_its_key_in_the_label() -> None:
    for label in ("Kettle", "Kettle [a]", "Kettle [a] "):
        stored = store("tc_1", label=label)
        plan = make_plan(build_suite({"a": FIELDS}), lock_with(a=stored), [stored])
        assert show(plan) == [("a", "unchanged")] and plan.is_empty


def test_edit_of_the_file_is_an_update_field_by_field() -> None:
    stored = store("tc_1", mockData=[{"variableName": "x", "value": "1"}])
    fields = {**FIELDS, "userPrompt": "You are Eva.", "mockData": {"x": "2"}, "attempts": 3}

    plan = make_plan(build_suite({"a": fields}), lock_with(a=stored), [stored])

    assert show(plan) == [("a", "update")]
    assert set(plan.cases[0].changes) == {"userPrompt", "mockData", "attempt"}
    assert list(list_plan_lines(plan)) == [
        "~ update a (tc_1)",
        "    userPrompt:",
        '      before "You are Ana."',
        '      after  "You are Eva."',
        '    mockData "x":',
        '      before "1"',
        '      after  "2"',
        "    attempts:",
        '      before "1"',
        '      after  "3"',
        "Plan: 0 create, 1 update, 0 drifted, 0 adopt, 0 orphan, 0 unchanged.",
    ]


def test_edit_of_the_dashboard_is_drift_also_where_the_file_has_changed() -> None:
    applied = store("tc_1")
    stored = store("tc_1", userPrompt="You are Eva.")
    for fields in (FIELDS, {**FIELDS, "userPrompt": "You are Tom."}):
        plan = make_plan(build_suite({"a": fields}), lock_with(a=applied), [stored])
        assert show(plan) == [("a", "drifted")] and plan.cases[0].drifted == ("userPrompt",)


def test_edit_of_the_dashboard_that_the_file_has_too_is_no_drift() -> None:
    stored = store("tc_1", userPrompt="You are Eva.")
    suite = build_suite({"a": {**FIELDS, "userPrompt": "You are Eva."}})

    assert make_plan(suite, lock_with(a=store("tc_1")), [stored]).is_empty


def test_absent_field_is_left_as_it_is_stored() -> None:
    stored = store("tc_1", attempt=9, llmModel="gpt-4o")

    assert make_plan(build_suite({"a": FIELDS}), lock_with(a=store("tc_1")), [stored]).is_empty


def test_value_that_the_api_stores_in_another_form_is_not_sent_again() -> None:
    stored = store("tc_1", label="KETTLE [a]")
    lock = lock_with(a=stored)
    sent = record_applied(FIELDS, stored)
    lock.cases["a"] = LockedCase("tc_1", sent)

    assert sent["label"].sent != sent["label"].stored
    assert make_plan(build_suite({"a": FIELDS}), lock, [stored]).is_empty


def test_lost_lock_is_rebuilt_from_the_keys_in_the_labels() -> None:
    stored = store("tc_1", label="Kettle [a]")

    assert show(make_plan(build_suite({"a": FIELDS}), lock_with(), [stored])) == [
        ("a", "unchanged")
    ]
    edited = store("tc_1", label="Kettle [a]", userPrompt="You are Eva.")
    assert show(make_plan(build_suite({"a": FIELDS}), lock_with(), [edited])) == [("a", "drifted")]


def test_stored_case_with_the_same_content_is_adopted_once() -> None:
    stored = [store("tc_1"), store("tc_2")]
    suite = build_suite({"a": FIELDS, "b": FIELDS, "c": FIELDS})

    plan = make_plan(suite, lock_with(), stored)

    assert show(plan) == [("a", "adopt"), ("b", "adopt"), ("c", "create")]
    assert [case.case_id for case in plan.cases] == ["tc_1", "tc_2", None]


def test_case_of_another_key_is_not_adopted() -> None:
    stored = [store("tc_1", label="Kettle [other]"), store("tc_2")]
    suite = build_suite({"a": FIELDS})

    assert show(make_plan(suite, lock_with(z=stored[1]), stored))[0] == ("a", "create")


def test_case_that_left_the_file_is_an_orphan() -> None:
    stored = store("tc_1")
    lock = lock_with(a=stored)

    plan = make_plan(build_suite({}), lock, [stored])

    assert show(plan) == [("a", "orphan")] and plan.is_empty
    lock.cases["a"] = LockedCase("tc_1", {}, retired=True)
    assert make_plan(build_suite({}), lock, [stored]).cases == []


def test_renamed_key_is_the_same_case() -> None:
    stored = store("tc_1", label="Kettle [old]")
    suite = build_suite({"new": {"was": "old", **FIELDS}})

    plan = make_plan(suite, lock_with(old=stored), [stored])

    assert show(plan) == [("new", "update")] and plan.cases[0].is_relabelled
    unlabelled = store("tc_1")
    assert make_plan(suite, lock_with(old=unlabelled), [unlabelled]).is_empty


def test_case_that_was_deleted_in_the_dashboard_is_created_again() -> None:
    plan = make_plan(build_suite({"a": FIELDS}), lock_with(a=store("tc_1")), [])

    assert show(plan) == [("a", "create")] and plan.cases[0].is_recreated


@pytest.mark.parametrize(
    ("labels", "locked", "refusal"),
    [
        (["Kettle [a]", "Other [a]"], None, r"carry the key \[a\]: tc_0 and tc_1"),
        (["Kettle [a]", "Kettle"], "tc_1", "The lock says that 'a' is tc_1, but tc_0 carries"),
        (["Kettle [b]"], "tc_0", r"The lock says that 'a' is tc_0, .* carries the key \[b\]"),
    ],
)
def test_contradiction_writes_nothing(labels: list[str], locked: str | None, refusal: str) -> None:
    stored = [store(f"tc_{number}", label=label) for number, label in enumerate(labels)]
    lock = lock_with()
    if locked:
        lock.cases["a"] = LockedCase(locked, {"label": AppliedField("0" * 16, "0" * 16)})

    with pytest.raises(SuiteConflict, match=refusal) as refused:
        make_plan(build_suite({"a": FIELDS}), lock, stored)
    assert str(refused.value).endswith("Nothing was written.")


def test_label_that_has_no_room_for_its_key_is_refused_for_a_new_case_only() -> None:
    fields = {**FIELDS, "label": "x" * 256}
    stored = store("tc_1", label="x" * 256)

    with pytest.raises(SuiteConflict, match="too long to be stored with its key"):
        make_plan(build_suite({"a": fields}), lock_with(), [])
    assert make_plan(build_suite({"a": fields}), lock_with(a=stored), [stored]).is_empty


LONG = "x" * 250


@pytest.mark.parametrize(
    ("locked", "stored_label", "more"),
    [
        ("a-key", "Kettle", {}),
        ("a-key", "Edited by somebody", {}),
        ("a", f"{LONG} [a]", {"was": "a"}),
        (None, None, {}),
    ],
    ids=["update", "drifted", "renamed", "adopted without a label"],
)
def test_label_is_never_stored_without_its_key(
    locked: str | None, stored_label: str | None, more: dict[str, str]
) -> None:
    """Without the key in its label, another checkout cannot find the stored case."""
    stored = store("tc_1", label=stored_label)
    if stored_label is None:
        stored = TestCase.read(
            {name: value for name, value in stored.raw.items() if name != "label"}
        )
    applied = stored if more else store("tc_1")
    lock = lock_with(**({locked: applied} if locked else {}))
    suite = build_suite({"a-key": {**FIELDS, "label": LONG, **more}})

    with pytest.raises(SuiteConflict, match=r"suite.yaml:3:3: the label of 'a-key' is too long"):
        make_plan(suite, lock, [stored])


def test_texts_of_others_cannot_command_a_terminal_or_a_ci_system() -> None:
    stored = store("tc_1", userPrompt="a\n::error::x\x1b[31m ##[group]")
    suite = build_suite({"a": {**FIELDS, "userPrompt": "\n  ::set-output name=x::y ##[error]"}})

    lines = list(list_plan_lines(make_plan(suite, lock_with(a=stored), [stored])))

    assert not any(line.strip().startswith("::") or "##[" in line for line in lines)
    assert not any("\x1b" in line or "\n" in line for line in lines)


@pytest.mark.parametrize(
    ("label", "retire", "said"),
    [
        ("Kettle [a]", False, "left alone without --retire"),
        ("Kettle [a]", True, 'renamed to "retired: Kettle"'),
        ("Kettle", True, 'renamed to "retired: Kettle"'),
        (None, True, "keeps its name: the API does not show its label"),
    ],
)
def test_plan_says_what_an_apply_does_with_an_orphan(
    label: str | None, said: str, *, retire: bool
) -> None:
    stored = store("tc_1", label=label)

    plan = make_plan(build_suite({}), lock_with(a=stored), [stored])

    assert next(list_plan_lines(plan, retire=retire)) == (
        f"- orphan a (tc_1) - no longer in the file; {said}"
    )
