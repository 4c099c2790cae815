"""MCP over stdin and stdout, as desktop clients and editors start it.

This module reads and writes itself. The SDK's `stdio_server` waits for a read that nothing can
cancel, so no signal ends it, and it drops lines that it cannot parse.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress

import anyio
import anyio.to_thread
from anyio.from_thread import BlockingPortal
from mcp.shared.message import SessionMessage

from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.protocol.server import explain_end, open_server
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.transports.json_lines import InvalidLine, Line, read_message, split_lines

END_SECONDS = 5.0
_CHUNK_BYTES = 64 * 1024
# A call into the event loop raises one of these once it has ended.
_LOOP_ENDED = (
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    CancelledError,
    RuntimeError,
)


def serve_stdio(settings: Settings, transport: APITransport) -> None:
    """Serve one client until it closes stdin or stdout, or until a signal; then end the process.

    At the end, reads are cancelled; a write in flight has END_SECONDS to finish.
    """
    stdin, stdout = _claim_streams()
    # anyio.run takes Ctrl+C over from this handler alone; Windows has no other way.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    anyio.run(_serve_client, settings, transport, _Client(stdin, stdout))


async def _serve_client(settings: Settings, transport: APITransport, client: "_Client") -> None:
    async with anyio.create_task_group() as signals:
        signals.start_soon(client.end_on_signal)
        async with (
            open_server(settings, transport) as server,
            BlockingPortal() as portal,
            anyio.create_task_group() as group,
        ):
            group.start_soon(client.write)
            threading.Thread(target=client.read, args=(portal,), name="stdin", daemon=True).start()
            try:
                await server.run(
                    client.incoming, client.to_client, server.create_initialization_options()
                )
            finally:
                client.end()
        signals.cancel_scope.cancel()


class _Client:
    """The client's two pipes, as streams of messages for the server."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._to_server, self.incoming = anyio.create_memory_object_stream[
            SessionMessage | Exception
        ]()
        self.to_client, self._outgoing = anyio.create_memory_object_stream[SessionMessage]()
        self._refusals = self.to_client.clone()
        self._has_ended = False

    def read(self, portal: BlockingPortal) -> None:
        """Pass each message on until stdin ends."""
        # This runs in a daemon thread, because nothing can cancel a read.
        with suppress(*_LOOP_ENDED):
            try:
                for line in split_lines(_read_chunks(self._stdin)):
                    self._pass_on(line, portal)
            finally:
                portal.call(self.end)

    def _pass_on(self, line: Line, portal: BlockingPortal) -> None:
        try:
            portal.call(self._to_server.send, SessionMessage(read_message(line)))
        except InvalidLine as invalid:
            for answer in invalid.answers:
                portal.call(self._refusals.send, SessionMessage(answer))

    async def write(self) -> None:
        """Write each answer on a line, until the client closes stdout."""
        is_open = True
        async with self._outgoing:
            async for message in self._outgoing:
                if not is_open:
                    continue
                answer = explain_end(message).message
                line = answer.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
                try:
                    await anyio.to_thread.run_sync(_write_all, self._stdout, line)
                except OSError:
                    is_open = False
                    self.end()

    async def end_on_signal(self) -> None:
        """End at the first SIGTERM or SIGINT; the second one kills the process."""
        asked_to_end = (signal.SIGTERM, signal.SIGINT)
        try:
            with anyio.open_signal_receiver(*asked_to_end) as received:
                async for _ in received:
                    break
        except NotImplementedError:
            return  # Windows has no receivers; there Ctrl+C cancels anyio.run
        for number in asked_to_end:
            signal.signal(number, signal.SIG_DFL)
        self.end()

    def end(self) -> None:
        """End the server's input, and the process after END_SECONDS."""
        if self._has_ended:
            return
        self._has_ended = True
        # Nothing can cancel a write to the API, a write to a client that does not read, or a DNS
        # lookup. No output is buffered, so an exit loses nothing else.
        exit_timer = threading.Timer(END_SECONDS, os._exit, (0,))
        exit_timer.daemon = True
        exit_timer.start()
        self._to_server.close()
        self._refusals.close()


def _claim_streams() -> tuple[int, int]:
    """Return private copies of stdin and stdout.

    After that, other code reads an empty stdin, and its prints go to stderr.

    Raises:
        ConfigurationError: the process has no stdin or stdout.
    """
    if sys.stdin is None or sys.stdout is None:
        raise ConfigurationError(
            "stdin or stdout is closed. Start sigmamind-mcp from an MCP client, which opens both."
        )
    devnull = os.open(os.devnull, os.O_RDWR)  # becomes descriptor 2 if stderr is closed
    stdin, stdout = os.dup(0), os.dup(1)
    os.dup2(devnull, 0)
    os.dup2(2, 1)
    return stdin, stdout


def _read_chunks(descriptor: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            yield chunk
    except OSError:  # for example, the terminal was closed
        return


def _write_all(descriptor: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
