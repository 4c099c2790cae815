"""Start the systemd unit and check what it does to the server; only the standard library.

It runs in the container of `tests.checks.unit`, prints a line for each step, and exits 1 at the first that fails.
"""

import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import call_served  # type: ignore[import-not-found]  # its neighbour in the container

UNIT = f"sigmamind-mcp@{call_served.PORT}.service"
READY_SECONDS = 30


def run_systemctl(*arguments: str) -> str:
    """Return what systemctl prints."""
    return subprocess.run(
        ["systemctl", *arguments], check=True, capture_output=True, encoding="utf-8", timeout=60
    ).stdout.strip()


def read_property(name: str) -> str:
    return run_systemctl("show", "--value", "--property", name, UNIT)


def wait_until_healthy() -> None:
    """Ask /healthz until it answers 200; exit with the unit's log after the time limit."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        connection = HTTPConnection("127.0.0.1", call_served.PORT, timeout=5)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    sys.exit(subprocess.run(["journalctl", "-u", UNIT], capture_output=True, text=True).stdout)


def expect(what: str, found: object, expected: object) -> None:
    print(f"{what}: {found}", flush=True)
    if found != expected:
        sys.exit(f"Expected {expected}.")


def read_process(pid: str) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def is_root_read_only(pid: str) -> bool:
    mounts = Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8").splitlines()
    options = [fields[5] for fields in map(str.split, mounts) if fields[4] == "/"]
    return "ro" in options[-1].split(",")


def main(key: str) -> None:
    run_systemctl("start", UNIT)
    wait_until_healthy()
    pid = read_property("MainPID")
    process = read_process(pid)
    expect("a user of its own", int(process["Uid"].split()[0]) >= 61184, True)
    expect("capabilities", int(process["CapEff"], 16), 0)
    expect("no new privileges", process["NoNewPrivs"], "1")
    expect("system calls are filtered", process["Seccomp"], "2")
    expect("the file system is read-only", is_root_read_only(pid), True)
    agents = call_served.call_tool(key, "list_agents", {})["agents"]
    expect("list_agents answers", bool(agents), True)

    run_systemctl("kill", "--signal=KILL", UNIT)
    end = time.monotonic() + READY_SECONDS
    while read_property("MainPID") in (pid, "0") and time.monotonic() < end:
        time.sleep(0.05)
    wait_until_healthy()
    expect("restarts after a crash", read_property("NRestarts"), "1")

    run_systemctl("stop", UNIT)
    expect("status after SIGTERM", read_property("ExecMainStatus"), "0")
    expect("result", read_property("Result"), "success")


if __name__ == "__main__":
    main(sys.argv[1])
