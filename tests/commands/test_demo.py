"""`sigmamind-mcp demo`, as a process."""

import pytest

from tests.support.processes import environment, run


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_demo_shows_the_whole_loop_legibly_in_a_pipe(encoding: str) -> None:
    shown = run("demo", env=environment(PYTHONIOENCODING=encoding, COLUMNS="200"))

    # The server's log would appear between the lines.
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "\x1b" not in shown.stdout
    for step in (
        "create_test_case tc_",
        "create_batch_run batch_",
        "get_batch_run: 6 of 6 decided",
        "verdict: failed",
        "diagnose_batch_run batch_",
        "failed in a similar way",
        "New appointment: regressed",
    ):
        assert step in shown.stdout
    assert "remarks: Scripted sandbox judge:" in shown.stdout and "1 user:" in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines() if "sigmamind://" not in line)
