"""A Jupyter kernel for C# notebooks: ipykernel's wire protocol in front, `nq kernel serve` behind.

Jupyter starts this file; it starts the engine as a child of its own and speaks with it line by line (see KernelServer.cs). Outputs are
sent on while the cell runs. An interrupt asks the engine to stop the cell; .NET cannot stop code from outside, so a cell that goes on
costs the session: the engine is ended and a new one takes its place, and the reader is told. The child lives in a process group of its own,
out of reach of the signal that Jupyter sends to this one, and ends with its standard input, so none is left behind.

Left out: input() of a cell (Console.ReadLine gives null), comms and widgets, and history. A program that a cell starts must have its input
redirected, as the library's own do: what it read of the engine's would be requests. Written for every system that Jupyter runs on, and tried on
Linux only.
"""
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

MARK = "\x1e"
PATIENCE = 1.8  # Seconds from an interrupt to the end of the engine; it gives its cell 1.5.
TICK = 0.1  # Seconds between two looks at whether an interrupt has come: not every system lets a signal end a wait.
STOPPED = "The cell did not stop, so the session was ended."
DIED = "The engine ended while the cell ran, and the session with it."


class Engine:
    """The child process, and the lines that it has written since."""

    def __init__(self):
        # Everything on either stream but the marked lines is what native code printed.
        self.process = subprocess.Popen(json.loads(os.environ["NQ_KERNEL_ENGINE"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, encoding="utf-8", errors="replace", start_new_session=True)
        self.name = uuid.uuid4().hex
        self.events = queue.Queue()
        self.number = 0
        for stream, name in ((self.process.stdout, "stdout"), (self.process.stderr, "stderr")):
            threading.Thread(target=self._read, args=(stream, name), daemon=True).start()

    def _read(self, stream, name):
        for line in stream:
            # Native code may leave a line open, and the protocol's then stands behind it.
            native, _, message = line.partition(MARK)
            try:
                event = json.loads(message) if message else None
            except ValueError:
                native, event = line, None
            if native:
                self.events.put({"native": name, "text": native})
            if event:
                self.events.put(event)
        if name == "stdout":
            self.events.put(None)  # The engine has ended.

    def ask(self, **request):
        """Sends a request and returns its number. OSError when the engine has ended."""
        self.number += 1
        self.process.stdin.write(json.dumps({"id": self.number, **request}) + "\n")
        self.process.stdin.flush()
        return self.number

    def answer(self, number, seconds):
        """The next event of a request, or what native code printed; {} when none came in time. EOFError when the engine has ended."""
        try:
            event = self.events.get(timeout=seconds)
        except queue.Empty:
            if self.process.poll() is None:
                return {}
            event = None  # A process that a cell started may hold the stream open behind the engine.
        if event is None:
            raise EOFError
        return event if "native" in event or event["id"] == number else {}

    def end(self):
        """Ends the process, whatever it does, and returns its code."""
        self.process.kill()
        return self.process.wait()


class Text:
    """Joins what one stream says within a tick: a cell that prints a thousand lines at once would drown the reader in messages."""

    def __init__(self, say):
        self.say, self.name, self.parts, self.since = say, None, [], 0

    def add(self, name, text):
        if name != self.name or time.monotonic() - self.since > TICK:
            self.flush()
        if not self.parts:
            self.name, self.since = name, time.monotonic()
        self.parts.append(text)

    def flush(self):
        if any(self.parts):
            self.say("".join(self.parts), self.name)
        self.parts = []


class CSharpKernel(Kernel):
    implementation = "NeuronQuant"
    implementation_version = "1"
    banner = "C# by the notebook engine of NeuronQuant Workbook"
    language_info = {"name": "C#", "version": "13.0", "mimetype": "text/x-csharp", "file_extension": ".cs", "pygments_lexer": "csharp",
                     "codemirror_mode": "text/x-csharp"}

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.engine = Engine()
        self.is_interrupted = False
        self.is_ending = False

    def pre_handler_hook(self):
        """Before each message: an interrupt is noted, never thrown, since it would fall between any two lines."""
        self.saved_sigint_handler = signal.signal(signal.SIGINT, self.note_interrupt)

    def note_interrupt(self, *_):
        self.is_interrupted = True

    def do_execute(self, code, silent, store_history=True, user_expressions=None, allow_stdin=False):
        self.is_interrupted = False
        try:
            done = self.follow(self.engine.ask(op="execute", code=code), silent)
        except (EOFError, OSError):
            done = self.lost("EngineEnded", f"The engine ended with code {self.engine.end()}.")
            self.replace(DIED)
        if done.get("left_behind"):
            self.replace(STOPPED)
        error = done.get("error")
        if error is None:
            return {"status": "ok", "execution_count": self.execution_count, "payload": [], "user_expressions": {}}
        return {"status": "error", "execution_count": self.execution_count, **error}

    def follow(self, number, silent):
        """Shows what a cell gives until it is done or, after an interrupt, out of time."""
        deadline, text = None, Text(self.say)
        try:
            while deadline is None or time.monotonic() < deadline:
                if self.is_interrupted and deadline is None:
                    self.engine.ask(op="interrupt")
                    deadline = time.monotonic() + PATIENCE
                event = self.engine.answer(number, TICK)
                output = event.get("output", {})
                if "native" in event:
                    text.add(event["native"], event["text"])
                elif output.get("output_type") == "stream":
                    text.add(output["name"], "" if silent else output["text"])
                else:
                    text.flush()
                    if output and not silent:
                        self.show(output, number)
                if "done" in event:
                    return event["done"]
        finally:
            text.flush()
        return {**self.lost("Interrupted", "The cell was interrupted and did not stop."), "left_behind": True}

    def lost(self, name, text):
        """Shows an error that the engine could not tell of."""
        error = {"ename": name, "evalue": text, "traceback": [text]}
        self.send_response(self.iopub_socket, "error", error)
        return {"error": error}

    def replace(self, reason):
        """Starts another engine, but not when the kernel itself is being ended, which may happen in the middle of a cell."""
        self.engine.end()
        if self.is_ending:
            return
        self.engine = Engine()
        self.say(f"{reason} A new one has started: run the notebook again from its first cell.\n")

    def show(self, output, number):
        kind = output.pop("output_type")
        if kind == "error":
            return self.send_response(self.iopub_socket, "error", output)
        # A file keeps text as lines; a message has it whole.
        output["data"] = {mime: "".join(value) if isinstance(value, list) and not mime.endswith("json") else value
                          for mime, value in output["data"].items()}
        if "display_id" in output:
            output["transient"] = {"display_id": f"{self.engine.name}-{number}-{output.pop('display_id')}"}
        if kind == "execute_result":
            output["execution_count"] = self.execution_count
        self.send_response(self.iopub_socket, kind, output)

    def say(self, text, name="stderr"):
        self.send_response(self.iopub_socket, "stream", {"name": name, "text": text})

    def question(self, default, **request):
        """Asks what the engine answers at once; one that is busy, stumbles or has ended gives the default."""
        try:
            number, deadline = self.engine.ask(**request), time.monotonic() + 10
            while time.monotonic() < deadline:
                done = self.engine.answer(number, TICK).get("done")
                if done is not None:
                    return default if "error" in done else done
        except EOFError:
            self.engine.events.put(None)  # For the next cell, which tells the reader.
        except OSError:
            pass
        return default

    def do_complete(self, code, cursor_pos):
        here = units(code, cursor_pos)
        found = self.question({"matches": [], "start": here, "end": here}, op="complete", code=code, cursor=here)
        return {"status": "ok", "matches": found["matches"], "cursor_start": points(code, found["start"]), "cursor_end": points(code, found["end"]),
                "metadata": {}}

    def do_inspect(self, code, cursor_pos, detail_level=0, omit_sections=()):
        text = self.question({"text": None}, op="inspect", code=code, cursor=units(code, cursor_pos))["text"]
        return {"status": "ok", "found": text is not None, "data": {"text/plain": text} if text else {}, "metadata": {}}

    def do_is_complete(self, code):
        status = self.question({"status": "unknown"}, op="is_complete", code=code)["status"]
        return {"status": status, "indent": "    "} if status == "incomplete" else {"status": status}

    def do_shutdown(self, restart):
        self.is_ending = True
        self.engine.end()
        return {"status": "ok", "restart": restart}


def units(text, position):
    """A cursor in characters, as Jupyter counts, in UTF-16 units, as C# counts."""
    return len(text[:position].encode("utf-16-le", errors="surrogatepass")) // 2


def points(text, position):
    """The way back. A lone surrogate that a host sends counts as one, both ways."""
    return len(text.encode("utf-16-le", errors="surrogatepass")[:2 * position].decode("utf-16-le", errors="replace"))


if __name__ == "__main__":
    sys.argv[0] = "nq_kernel"
    IPKernelApp.launch_instance(kernel_class=CSharpKernel)
