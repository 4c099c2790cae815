"""The memory allocator of a server of many callers: the C library's instead of Python's own.

Python's gives memory back by the MiB, if no object in it is used; glibc's by single pages.
"""

import os
import platform
import sys
from collections.abc import Mapping

ALLOCATOR = "PYTHONMALLOC"


def restart_with_malloc(environ: Mapping[str, str]) -> None:
    """Start this program again with malloc, in the same process, if the C library is glibc."""
    if ALLOCATOR in environ or not sys.executable or platform.libc_ver()[0] != "glibc":
        return
    # Python chooses its allocator before it runs any code.
    arguments = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, arguments, {**environ, ALLOCATOR: "malloc"})
