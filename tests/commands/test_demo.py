"""`sigmamind-mcp demo`, as a process."""

import signal
import subprocess
import sys

import pytest

from tests.support.processes import COMMAND, environment, run

STEPS = (
    "create_test_case tc_",
    "create_batch_run batch_",
    "verdict: failed",
    "diagnose_batch_run batch_",
    "passed (too few attempts to tell).",
)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_demo_shows_the_whole_loop_legibly_in_a_pipe(encoding: str) -> None:
    shown = run("demo", env=environment(PYTHONIOENCODING=encoding, COLUMNS="200"))

    # The server's log would appear between the lines.
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "\x1b" not in shown.stdout
    for step in (*STEPS, "get_batch_run: 6 of 6 decided"):
        assert step in " ".join(shown.stdout.split())
    assert "remarks: Scripted sandbox judge:" in shown.stdout and "1 user:" in shown.stdout
    assert "failed: not met: confirms the refund" in shown.stdout
    assert "clause" not in shown.stdout.split("diagnose_batch_run")[1]
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("columns", [50, 55, 80])
def test_demo_fits_a_pipe_of_any_width(columns: int) -> None:
    lines = run("demo", env=environment(COLUMNS=str(columns))).stdout.splitlines()

    assert max(map(len, lines)) <= columns
    assert all(step in " ".join(" ".join(lines).split()) for step in STEPS)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("columns", [50, 55, 80])
def test_demo_fits_a_terminal_of_any_width(columns: int) -> None:
    from tests.support.terminals import run_in_terminal

    status, lines = run_in_terminal("demo", columns=columns)

    assert (status, max(map(len, lines)) <= columns) == (0, True)
    assert all(step in " ".join(" ".join(lines).split()) for step in STEPS)


@pytest.mark.slow
def test_each_figure_of_the_comparison_is_explained_in_words_first() -> None:
    shown = " ".join(run("demo", env=environment()).stdout.split())

    assert "between 19% and 81% would pass (3 of 6 passed; 95% interval)" in shown
    assert (
        "New appointment: worse, and not by chance. 10 of 10 passed before, 3 of 10 now (p" in shown
    )
    assert "All test cases together: worse, and not by chance (p" in shown
    assert "p is the probability of such a difference by chance alone." in shown


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child alone")
def test_interrupted_demo_ends_with_the_status_of_an_interruption() -> None:
    with subprocess.Popen(
        [*COMMAND, "demo"],
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert (process.returncode, errors) == (130, "")
