"""A server of many callers runs with the allocator of the C library, if that is glibc."""

import os
import sys
from pathlib import Path

import pytest

from tests.support.processes import environment, served

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or "CS_GNU_LIBC_VERSION" not in os.confstr_names,
    reason="it needs glibc",
)


@pytest.mark.parametrize(
    ("chosen", "used"), [({}, "malloc"), ({"PYTHONMALLOC": "pymalloc"}, "pymalloc")]
)
def test_server_of_many_callers_uses_malloc_unless_another_is_chosen(
    chosen: dict[str, str], used: str
) -> None:
    with served("serve", "--sandbox", env=environment(**chosen)) as server:
        variables = Path(f"/proc/{server.process.pid}/environ").read_bytes().split(b"\0")
        assert server.end() == 0
    assert f"PYTHONMALLOC={used}".encode() in variables
