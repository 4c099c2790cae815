"""Carry out a plan: each write once, the lock after each write, nothing deleted."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.api.transport import APITransport, KnownPaging
from sigmamind_mcp.api.walks import LARGEST_SIZE
from sigmamind_mcp.errors import OutcomeUnknown, SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.case_definitions import has_definition
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.suites.lock_file import Lock, LockedCase
from sigmamind_mcp.suites.plan import Plan, PlannedCase, SuiteConflict
from sigmamind_mcp.suites.stored_fields import (
    FIELDS,
    digest_fields,
    has_same_content,
    join_label,
    read_stored,
    record_applied,
    retire_label,
    split_label,
)
from sigmamind_mcp.suites.suite_file import Suite, SuiteCase

SEARCH_PAUSES: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each search for a test case whose creation was not confirmed."""
SEARCH_SECONDS = 20.0
SAME_COMMAND = "The same command completes the work."

Report = Callable[[str], None]


class DriftRefused(SigmaMindError):
    """Somebody changed stored test cases since the last apply; nothing was overwritten."""


class ApplyOptions(NamedTuple):
    """What an apply may do beyond creating and updating."""

    overwrite: bool = False
    retire: bool = False


def expect_full_pages(transport: APITransport) -> None:
    """Let the first request for test cases ask for a full page; a refused size is replaced."""
    transport.paging.setdefault("test-cases", KnownPaging(LARGEST_SIZE, LARGEST_SIZE))


async def read_stored_cases(agent_id: str, api: SigmaMindClient) -> list[TestCase]:
    """Return all test cases of an agent, each with its definition where the API shows one.

    Raises:
        SuiteConflict: some cannot be read, so nobody can tell which are new.
        SigmaMindError: the API does not list them.
    """
    listing = await api.list_test_cases(agent_id)
    _require_whole(listing)
    cases = []
    for case in listing.items:
        if not has_definition(case) and (test_case_id := valid_id(case.test_case_id)):
            # A list may show less than the test case itself.
            read = await api.get_test_case(test_case_id, agent_id)
            case = read.model_copy(update={"test_case_id": test_case_id})
        cases.append(case)
    return cases


def _require_whole(listing: Listing[TestCase]) -> None:
    if listing.unread_count:
        raise SuiteConflict(
            f"{listing.unread_count} or more stored test cases of the agent cannot be read, so it"
            " is not known which cases of the file are new. Nothing was written."
        )


async def apply_plan(
    suite: Suite,
    lock: Lock,
    plan: Plan,
    api: SigmaMindClient,
    *,
    options: ApplyOptions,
    report: Report,
) -> None:
    """Store what the plan says, in its order.

    Raises:
        DriftRefused: a stored case has changed, and `options` do not allow to overwrite it.
        SigmaMindError: a write failed; the lock has all writes before it.
    """
    if plan.list_cases("drifted") and not options.overwrite:
        raise DriftRefused("Stored test cases have changed since the last apply.")
    applier = _Applier(suite, lock, api, options, report)
    for planned in plan.cases:
        if planned.action == "create":
            await applier.create(planned)
        elif planned.action == "orphan":
            await applier.retire(planned)
        elif planned.is_written:
            await applier.update(planned)
        else:
            applier.link(planned)
    lock.save()


class _Applier:
    """Makes the writes of one apply."""

    def __init__(
        self,
        suite: Suite,
        lock: Lock,
        api: SigmaMindClient,
        options: ApplyOptions,
        report: Report,
    ) -> None:
        self._suite = suite
        self._lock = lock
        self._api = api
        self._options = options
        self._report = report

    async def create(self, planned: PlannedCase) -> None:
        case = self._suite.cases[planned.key]
        await self._require_absent(case)
        # A record without an id: whatever happens now, the next apply knows what was sent.
        self._record(case, None, None)
        label = join_label(case.fields.get("label", ""), case.key)
        fields = {**case.fields, "label": label}
        try:
            written = await self._api.create_test_case(self._lock.agent_id, fields)
            stored = written.record or await self._search(case)
        except OutcomeUnknown:
            stored = await self._search(case)
        if stored is None or not valid_id(stored.test_case_id):
            raise OutcomeUnknown(
                f"It is not known whether '{case.key}' was created: no answer of the API shows it."
                f" {SAME_COMMAND}"
            )
        self._record(case, stored.test_case_id, stored)
        self._report(f"created {case.key} ({stored.test_case_id})")

    async def _require_absent(self, case: SuiteCase) -> None:
        """Look once more, because another apply may have created it since the plan."""
        stored = await read_stored_cases(self._lock.agent_id, self._api)
        if (found := self._find_created(case, stored)) is not None:
            raise SuiteConflict(
                f"'{case.key}' was created by somebody else in the meantime ({found.test_case_id})."
                f" {SAME_COMMAND}"
            )

    async def _search(self, case: SuiteCase) -> TestCase | None:
        """Look for a case whose creation was not confirmed."""
        with anyio.move_on_after(SEARCH_SECONDS):
            for pause in SEARCH_PAUSES:
                await anyio.sleep(pause)
                with suppress(SigmaMindError):
                    stored = await read_stored_cases(self._lock.agent_id, self._api)
                    if (found := self._find_created(case, stored)) is not None:
                        return found
        return None

    def _find_created(self, case: SuiteCase, stored: Sequence[TestCase]) -> TestCase | None:
        for other in stored:
            if split_label(other.label).key == case.key:
                return other
        # Older versions of the API show no label.
        known = {locked.test_case_id for locked in self._lock.cases.values()}
        for other in stored:
            is_candidate = other.label is None and other.test_case_id not in known
            if is_candidate and has_same_content(case.fields, other):
                return other
        return None

    async def update(self, planned: PlannedCase) -> None:
        case, stored = self._suite.cases[planned.key], planned.stored
        assert stored is not None
        label = case.fields.get("label", split_label(stored.label).text)
        text = planned.changes.get("label", label) or ""
        after = await self._write(planned, planned.changes, text)
        self._record(case, planned.case_id, after)
        self._report(f"updated {case.key} ({planned.case_id})")
        self._report_differences(case, after)

    async def retire(self, planned: PlannedCase) -> None:
        """Rename the stored case of a key that left the file."""
        if not self._options.retire or planned.stored is None:
            return
        if planned.stored.label is None:
            self._report(f"{planned.key} keeps its name: the API does not show its label")
            return
        text = retire_label(planned.stored.label)
        after = await self._write(planned, {}, text)
        locked = LockedCase(planned.case_id, record_applied({}, after), retired=True)
        self._lock.record(planned.key, locked)
        self._lock.save()
        self._report(f"retired {planned.key} ({planned.case_id})")

    async def _write(self, planned: PlannedCase, changes: JSONObject, text: str) -> TestCase:
        """Write the whole case with these changes, and read it again."""
        assert planned.stored is not None and planned.case_id is not None
        agent_id, test_case_id = self._lock.agent_id, planned.case_id
        async with self._api.lock_test_case(test_case_id, agent_id):
            before = await self._api.get_test_case(test_case_id, agent_id)
            self._require_unchanged(planned, before)
            # From the raw object: what is not changed must stay exactly as it is.
            body: JSONObject = {"agentId": agent_id}
            for name in FIELDS:
                if before.raw.get(name) is not None:
                    body[name] = before.raw[name]
            body.update(changes)
            if text or before.label is not None:
                body["label"] = join_label(text, planned.key) or text
            try:
                await self._api.update_test_case(test_case_id, body)
            except OutcomeUnknown as exc:
                raise OutcomeUnknown(
                    f"It is not known whether the change of '{planned.key}' was stored."
                    f" {SAME_COMMAND}"
                ) from exc
            try:
                return await self._api.get_test_case(test_case_id, agent_id)
            except SigmaMindError as exc:
                raise OutcomeUnknown(
                    f"'{planned.key}' was changed, but reading it again failed. {SAME_COMMAND}"
                ) from exc

    def _require_unchanged(self, planned: PlannedCase, before: TestCase) -> None:
        assert planned.stored is not None
        seen = digest_fields(read_stored(planned.stored))
        now = digest_fields(read_stored(before))
        changed = [name for name in now if name in seen and now[name] != seen[name]]
        if changed and not self._options.overwrite:
            raise DriftRefused(
                f"'{planned.key}' was changed by somebody else in the meantime:"
                f" {', '.join(changed)}. It was not overwritten."
            )

    def _report_differences(self, case: SuiteCase, after: TestCase) -> None:
        applied = self._lock.cases[case.key].fields
        differing = [name for name in case.fields if applied[name].sent != applied[name].stored]
        if differing:
            self._report(f"  the API shows other values than were sent: {', '.join(differing)}")

    def link(self, planned: PlannedCase) -> None:
        """Record a stored case that needs no write."""
        case = self._suite.cases[planned.key]
        self._record(case, planned.case_id, planned.stored, is_saved=False)
        if planned.action == "adopt":
            self._report(f"adopted {case.key} ({planned.case_id})")

    def _record(
        self,
        case: SuiteCase,
        test_case_id: str | None,
        stored: TestCase | None,
        *,
        is_saved: bool = True,
    ) -> None:
        if case.was:
            self._lock.cases.pop(case.was, None)
        fields = record_applied(case.fields, stored)
        self._lock.record(case.key, LockedCase(test_case_id, fields))
        if is_saved:
            self._lock.save()
