"""Test the page in Chromium; `python -m tests.checks.viewer NODE CHROMIUM [--picture]` exits 1 on a failure.

interop/viewer.mjs is the host. This module starts the sandbox server behind it, and writes the report that it opens.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.processes import run, serving

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "report.png"
AGENT = "agent_SPIlVscbB0kkXBvZ"
BATCH = "batch_CBeIZMjFgNZJBIwX"
EARLIER_BATCH = "batch_1Ofd9tyWqpYKKgUu"
OPTIONS = ("--agent", AGENT, "--against", EARLIER_BATCH, "--history", "--transcripts")


def main(node: str, chromium: str, *options: str) -> int:
    with TemporaryDirectory() as folder, serving("serve", "--sandbox") as url:
        report = Path(folder, "report.html")
        written = run("--sandbox", "report", BATCH, *OPTIONS)
        if written.returncode:
            print(f"report: FAILED\n{written.stderr}")
            return 1
        report.write_text(written.stdout, encoding="utf-8")
        setup = {"url": url, "chromium": chromium, "report": str(report)}
        if "--picture" in options:
            setup["picture"] = str(PICTURE)
        command = [node, "interop/viewer.mjs", json.dumps(setup)]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
