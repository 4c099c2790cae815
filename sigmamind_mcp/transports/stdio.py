"""MCP over stdin and stdout, as desktop clients and editors start it.

Reading and writing are our own, not the SDK's `stdio_server`: that waits for a read that nothing can cancel, so that
no signal ends it, and it drops lines that it cannot read.
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
from sigmamind_mcp.transports.json_lines import InvalidLine, read_message, split_lines

END_SECONDS = 5.0
_CHUNK_BYTES = 64 * 1024
_ENDED_ALREADY = (
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    CancelledError,
    RuntimeError,
)


def serve_stdio(settings: Settings, transport: APITransport) -> None:
    """Serve one client until it closes our stdin or stdout, or a signal comes: the last thing that this process does.

    Then reads are cancelled, and a write that is under way has END_SECONDS to end.
    """
    stdin, stdout = _claim_streams()
    anyio.run(_serve, settings, transport, _Client(stdin, stdout))


async def _serve(settings: Settings, transport: APITransport, client: "_Client") -> None:
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
    """The client's two pipes as streams of messages, for the server to run on."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._to_server, self.incoming = anyio.create_memory_object_stream[
            SessionMessage | Exception
        ]()
        self.to_client, self._outgoing = anyio.create_memory_object_stream[SessionMessage]()
        self._refusals = self.to_client.clone()
        self._has_ended = False

    def read(self, portal: BlockingPortal) -> None:
        """Pass on what the client writes, until it ends. Runs in a daemon thread: nothing can cut a read short."""
        with suppress(*_ENDED_ALREADY):
            try:
                for line in split_lines(_chunks(self._stdin)):
                    try:
                        portal.call(self._to_server.send, SessionMessage(read_message(line)))
                    except InvalidLine as refused:
                        for answer in refused.answers:
                            portal.call(self._refusals.send, SessionMessage(answer))
            finally:
                portal.call(self.end)

    async def write(self) -> None:
        """Write what the server and we answer, each a line; to nobody once the client has closed our stdout."""
        is_open = True
        async with self._outgoing:
            async for message in self._outgoing:
                if not is_open:
                    continue
                answer = explain_end(message).message
                line = answer.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
                try:
                    await anyio.to_thread.run_sync(_write, self._stdout, line)
                except OSError:
                    is_open = False
                    self.end()

    async def end_on_signal(self) -> None:
        """End at the first SIGTERM or SIGINT; the system itself ends the process at the second."""
        asked_to_end = (signal.SIGTERM, signal.SIGINT)
        try:
            with anyio.open_signal_receiver(*asked_to_end) as received:
                async for _ in received:
                    break
        except NotImplementedError:
            return  # Windows has no receivers. There Ctrl+C cancels anyio.run, and nothing else is sent.
        for number in asked_to_end:
            signal.signal(number, signal.SIG_DFL)
        self.end()

    def end(self) -> None:
        """Have the server find its input ended, and this process gone in END_SECONDS."""
        if self._has_ended:
            return
        self._has_ended = True
        # Neither a write to the API, nor one to a client that does not read, nor the system's look-up of a host can be
        # cancelled. Nothing of ours is buffered, so leaving cuts nothing else.
        leave = threading.Timer(END_SECONDS, os._exit, (0,))
        leave.daemon = True
        leave.start()
        self._to_server.close()
        self._refusals.close()


def _claim_streams() -> tuple[int, int]:
    """Move stdin and stdout to where only we reach them: what others print goes to stderr, what they read is empty.

    Raises:
        ConfigurationError: this process was started without them.
    """
    if sys.stdin is None or sys.stdout is None:
        raise ConfigurationError(
            "stdin or stdout is closed. Start sigmamind-mcp from an MCP client, which opens both."
        )
    nothing = os.open(os.devnull, os.O_RDWR)  # on descriptor 2 where stderr is closed
    stdin, stdout = os.dup(0), os.dup(1)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return stdin, stdout


def _chunks(descriptor: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            yield chunk
    except OSError:  # such as a terminal that is gone
        return


def _write(descriptor: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
