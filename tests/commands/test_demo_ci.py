"""`sigmamind-mcp demo --ci`, as a process."""

import pytest

from tests.support.processes import environment, run


@pytest.mark.slow
def test_gate_is_green_for_noise_then_red_for_the_right_case() -> None:
    shown = run("demo", "--ci", env=environment(PYTHONIOENCODING="cp1252"), timeout=120)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.index("PASSED: ") < shown.stdout.index("FAILED: proven worse")
    assert "FAILED: proven worse than the baseline: broken-kettle." in shown.stdout
