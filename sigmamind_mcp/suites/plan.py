"""Decide what each test case of a suite needs, from the file, the lock and what is stored."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.suites.lock_file import Lock, LockedCase
from sigmamind_mcp.suites.stored_fields import (
    RETIRED,
    digest,
    digest_fields,
    has_same_content,
    is_retired,
    join_label,
    read_stored,
    split_label,
)
from sigmamind_mcp.suites.suite_file import Suite, SuiteCase
from sigmamind_mcp.suites.yaml_tree import quote_word

Action = Literal["create", "update", "unchanged", "drifted", "adopt", "orphan"]
ACTIONS: tuple[Action, ...] = ("create", "update", "drifted", "adopt", "orphan", "unchanged")
NEEDED = ("userPrompt", "successCriteria")


class SuiteConflict(ConfigurationError):
    """The lock, the labels and the file contradict each other; nothing was written."""


class PlannedCase(NamedTuple):
    """What one test case needs.

    `changes` are the fields to store, under the API's names. `drifted` names those that somebody
    changed since the last apply. `is_relabelled` says that the stored label has an old key.
    """

    key: str
    action: Action
    stored: TestCase | None = None
    changes: JSONObject = {}
    drifted: tuple[str, ...] = ()
    is_relabelled: bool = False
    is_recreated: bool = False

    @property
    def case_id(self) -> str | None:
        return self.stored.test_case_id if self.stored else None

    @property
    def is_written(self) -> bool:
        """Whether an apply sends something for it."""
        return self.action in ("create", "update", "drifted") or bool(self.changes)


class Plan(NamedTuple):
    """What an apply will do, case by case in the order of the file; orphans come last."""

    cases: list[PlannedCase]

    def list_cases(self, *actions: Action) -> list[PlannedCase]:
        return [case for case in self.cases if case.action in actions]

    @property
    def is_empty(self) -> bool:
        """Whether the stored cases are those of the file."""
        return not any(case.is_written for case in self.cases)

    @property
    def has_changes(self) -> bool:
        """Whether an apply writes something, or gives a stored case a key."""
        return not self.is_empty or bool(self.list_cases("adopt"))


def make_plan(suite: Suite, lock: Lock, stored: Sequence[TestCase]) -> Plan:
    """Compare a suite with its lock and with all stored test cases of its agent.

    Raises:
        SuiteConflict: two cases carry one key, the lock and a label disagree, a new test case has
            no prompt or no criteria, or a label to store is too long for its key.
    """
    links = _Links(suite, lock, stored)
    cases = [_plan_case(case, suite, links) for case in suite.cases.values()]
    linked = {case.case_id for case in cases}
    cases += _list_orphans(suite, lock, links, linked)
    return Plan(cases)


class _Links:
    """Finds the stored test case of each key."""

    def __init__(self, suite: Suite, lock: Lock, stored: Sequence[TestCase]) -> None:
        self.by_id = {case.test_case_id: case for case in stored if valid_id(case.test_case_id)}
        self._lock = lock
        self._renames = {case.was: case.key for case in suite.cases.values() if case.was}
        self._by_key: dict[str, list[TestCase]] = defaultdict(list)
        for case in self.by_id.values():
            key = split_label(case.label).key
            if key is not None:
                current = self._renames.get(key, key)
                self._by_key[current].append(case)
        self._taken = {case.test_case_id for case in lock.cases.values() if case.test_case_id}

    def find_locked(self, case: SuiteCase) -> LockedCase | None:
        """Return the lock's entry of a case, under its own key or under the one before."""
        own = self._lock.cases.get(case.key)
        return own or self._lock.cases.get(case.was or "")

    def find_stored(self, case: SuiteCase) -> TestCase | None:
        """Return the stored case that the lock or a label gives for a key.

        Raises:
            SuiteConflict: there is more than one.
        """
        labelled = self._by_key.get(case.key, [])
        if len(labelled) > 1:
            ids = " and ".join(str(one.test_case_id) for one in labelled[:5])
            raise SuiteConflict(
                f"Two stored test cases carry the key [{case.key}]: {ids}. Remove the key from the"
                " label of one in the dashboard. Nothing was written."
            )
        locked = self.find_locked(case)
        by_label = labelled[0] if labelled else None
        if locked is None or locked.test_case_id is None:
            return by_label
        if by_label is not None and by_label.test_case_id != locked.test_case_id:
            raise SuiteConflict(
                f"The lock says that {quote_word(case.key)} is {locked.test_case_id}, but"
                f" {by_label.test_case_id} carries this key in its label. Correct the label in the"
                f" dashboard or the entry in {self._lock.path}. Nothing was written."
            )
        by_lock = self.by_id.get(locked.test_case_id)
        if by_lock is not None:
            self._check_label(case, by_lock)
        return by_lock

    def _check_label(self, case: SuiteCase, stored: TestCase) -> None:
        carried = split_label(stored.label).key
        if carried not in (None, case.key, case.was):
            raise SuiteConflict(
                f"The lock says that {quote_word(case.key)} is {stored.test_case_id}, but the label"
                f" of that one carries the key [{carried}]. If the key was renamed, add"
                f" 'was: {carried}' to the case. Nothing was written."
            )

    def take_equal(self, case: SuiteCase) -> TestCase | None:
        """Return a stored case with the same content that belongs to no key."""
        for test_case_id, stored in self.by_id.items():
            is_free = test_case_id not in self._taken and split_label(stored.label).key is None
            if is_free and has_same_content(case.fields, stored):
                self._taken.add(test_case_id or "")
                return stored
        return None


def _plan_case(case: SuiteCase, suite: Suite, links: _Links) -> PlannedCase:
    locked, stored = links.find_locked(case), links.find_stored(case)
    if stored is None:
        was_stored = locked is not None and locked.test_case_id is not None
        equal = None if was_stored else links.take_equal(case)
        if equal is not None:
            return _plan_adoption(case, suite, equal)
        return _plan_creation(case, suite, is_recreated=was_stored)
    changes, drifted = _compare_fields(case.fields, locked, stored)
    changes.update(_find_label_before(case, stored))
    label, key = split_label(stored.label)
    label = changes.get("label", label)
    is_relabelled = key not in (None, case.key)
    if is_relabelled or "label" in changes:
        _require_fitting_label(case, suite, label)
    action: Action = "unchanged"
    if drifted:
        action = "drifted"
    elif changes or is_relabelled:
        action = "update"
    return PlannedCase(case.key, action, stored, changes, drifted, is_relabelled)


def _plan_adoption(case: SuiteCase, suite: Suite, stored: TestCase) -> PlannedCase:
    shown = read_stored(stored)
    # What the API does not show may differ, so it is sent once.
    hidden = {name: value for name, value in case.fields.items() if name not in shown}
    if "label" in hidden:
        _require_fitting_label(case, suite, "")
    changes = {**hidden, **_find_label_before(case, stored)}
    return PlannedCase(case.key, "adopt", stored, changes)


def _find_label_before(case: SuiteCase, stored: TestCase) -> JSONObject:
    """Return the label that a retired case had, if it is in the file again without a label."""
    if "label" in case.fields or not is_retired(stored):
        return {}
    return {"label": split_label(stored.label).text.removeprefix(RETIRED)}


def _plan_creation(case: SuiteCase, suite: Suite, *, is_recreated: bool) -> PlannedCase:
    where = suite.name_place("cases", case.key)
    key = quote_word(case.key)
    missing = " and ".join(name for name in NEEDED if name not in case.fields)
    if missing:
        raise SuiteConflict(
            f"{where}: {key} is not stored yet and needs {missing}. Nothing was written."
        )
    _require_fitting_label(case, suite, "")
    return PlannedCase(case.key, "create", changes=case.fields, is_recreated=is_recreated)


def _require_fitting_label(case: SuiteCase, suite: Suite, stored_label: str) -> None:
    """Raise an error if the label, by default the stored one, has no room for the key."""
    if join_label(case.fields.get("label", stored_label), case.key) is None:
        raise SuiteConflict(
            f"{suite.name_place('cases', case.key)}: the label of {quote_word(case.key)} is too"
            " long to be stored with its key. Nothing was written."
        )


def _compare_fields(
    wanted: JSONObject, locked: LockedCase | None, stored: TestCase
) -> tuple[JSONObject, tuple[str, ...]]:
    """Return the fields to store, and the names of those that drifted."""
    shown = digest_fields(read_stored(stored))
    changes: JSONObject = {}
    drifted: list[str] = []
    for name, value in wanted.items():
        sent = digest(name, value)
        base = locked.fields.get(name) if locked else None
        current = shown.get(name, base.stored if base else None)
        is_as_applied = base is not None and base == (sent, current)
        if current == sent or is_as_applied:
            continue
        changes[name] = value
        if name not in shown:
            continue
        # Without a record of the last apply, nobody knows who changed it.
        is_own = base is not None and current == base.stored
        is_new = locked is not None and base is None
        if not is_own and not is_new:
            drifted.append(name)
    return changes, tuple(drifted)


def _list_orphans(
    suite: Suite, lock: Lock, links: _Links, linked: set[str | None]
) -> list[PlannedCase]:
    renamed = {case.was for case in suite.cases.values() if case.key not in lock.cases}
    orphans = []
    for key, locked in lock.cases.items():
        stored = links.by_id.get(locked.test_case_id)
        if key in suite.cases or key in renamed or locked.retired:
            continue
        # An old lock may have a case under the key that it had before.
        if locked.test_case_id in linked:
            continue
        if stored is not None and not is_retired(stored):
            orphans.append(PlannedCase(key, "orphan", stored))
    return orphans
