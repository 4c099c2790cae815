"""Start deploy/sigmamind-mcp@.service in a container with systemd; `python -m tests.checks.unit` exits 1 on a failure.

The container has Debian's packages and the locked ones, its systemd is process 1, and it reaches no network. The server
is the sandbox.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sigmamind_mcp.sandbox import SANDBOX_KEY
from tests.checks import call_served
from tests.checks.debian_root import PYTHON_VERSION, ROOT, download_wheels, make_root, run_command
from tests.checks.interop import CheckFailed, print_verdict

PACKAGES = ("bash", "dbus", "python3-venv", "systemd", "systemd-sysv", "util-linux")
# The host's manager of machines, where there is one, need not know this machine.
NSPAWN = ("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network")
# The unit waits for a network, and this container has none.
BOOT = ("--boot", "systemd.unit=check.service", "systemd.mask=systemd-networkd-wait-online.service")
INSTALL = """\
set -e
python3 -m venv /opt/sigmamind-mcp
pip="/opt/sigmamind-mcp/bin/pip --disable-pip-version-check install --quiet --no-index --find-links /wheels"
$pip --require-hashes -r /project/requirements.txt
$pip --no-deps /wheels/sigmamind_mcp-*.whl
"""
USE_SANDBOX = "[Service]\nEnvironment=SIGMAMIND_SANDBOX=true\n"
CHECK = f"""\
[Unit]
Requires=basic.target dbus.service
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'python3 /check/unit_inside.py {SANDBOX_KEY} >/check/output 2>&1; systemctl exit $?'
"""


class UnitChecks:
    """A root with Debian's systemd and the installed server."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.wheels = folder / "wheels"

    def install(self) -> str:
        """Install what the unit expects, as its first lines say."""
        make_root(self.root, PACKAGES)
        (self.root / "etc/machine-id").touch()  # without it the first boot asks questions
        version = run_command(*NSPAWN, f"--directory={self.root}", "python3", "-c", PYTHON_VERSION)
        download_wheels(self.wheels, version.strip())
        run_command(
            sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(self.wheels)
        )
        binds = (f"--bind-ro={self.wheels}:/wheels", f"--bind-ro={ROOT}:/project")
        run_command(*NSPAWN, f"--directory={self.root}", *binds, "sh", "-c", INSTALL)
        return f"Python {version.strip()} in /opt/sigmamind-mcp"

    def start(self) -> str:
        """Boot the container, whose only service starts the unit and checks it."""
        system = self.root / "etc/systemd/system"
        shutil.copy(ROOT / "deploy" / "sigmamind-mcp@.service", system)
        (system / "check.service").write_text(CHECK, encoding="utf-8")
        overrides = system / "sigmamind-mcp@.service.d"
        overrides.mkdir()
        (overrides / "sandbox.conf").write_text(USE_SANDBOX, encoding="utf-8")
        check = self.root / "check"
        check.mkdir()
        for name in ("unit_inside.py", "call_served.py"):
            shutil.copy(Path(call_served.__file__).with_name(name), check)
        try:
            run_command(*NSPAWN, f"--directory={self.root}", *BOOT)
        except CheckFailed as exc:
            output = check / "output"
            said = output.read_text(encoding="utf-8") if output.exists() else ""
            raise CheckFailed(f"{exc}\n{said}") from exc
        return "\n" + (check / "output").read_text(encoding="utf-8").rstrip()


def main() -> int:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        checks = UnitChecks(Path(folder))
        steps = {"install": checks.install, "start": checks.start}
        return int(any(print_verdict(name, step) for name, step in steps.items()))


if __name__ == "__main__":
    sys.exit(main())
