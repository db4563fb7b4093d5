"""A Jupyter kernel for C# notebooks: ipykernel's wire protocol in front, `nq kernel serve` behind.

Jupyter starts this file; it starts the engine as a child of its own and speaks with it line by line (see KernelServer.cs). Outputs are
sent on while the cell runs. An interrupt asks the engine to stop the cell; .NET cannot stop code from outside, so a cell that goes on
costs the session: the engine is ended and a new one takes its place, and the reader is told. The child lives in a process group of its own,
out of reach of the signal that Jupyter sends to this one, and ends with its standard input, so none is left behind.
"""
import json
import os
import queue
import subprocess
import sys
import threading

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

MARK = "\x1e"
PATIENCE = 1.8  # Seconds from an interrupt to the end of the engine; it gives its cell 1.5.


class Engine:
    """The child process, and the lines that it has written since."""

    def __init__(self, command):
        # Everything on one stream but the marked lines is what native code printed.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        encoding="utf-8", errors="replace", start_new_session=True)
        self.events = queue.Queue()
        self.number = 0
        for stream, name in ((self.process.stdout, "stdout"), (self.process.stderr, "stderr")):
            threading.Thread(target=self._read, args=(stream, name), daemon=True).start()

    def _read(self, stream, name):
        for line in stream:
            if line.startswith(MARK):
                self.events.put(json.loads(line[1:]))
            else:
                self.events.put({"native": name, "text": line})
        if name == "stdout":
            self.events.put(None)  # The engine has ended.

    def ask(self, **request):
        """Sends a request and returns its number."""
        self.number += 1
        self.process.stdin.write(json.dumps({"id": self.number, **request}) + "\n")
        self.process.stdin.flush()
        return self.number

    def answer(self, number, timeout=None):
        """The next event of a request, or what native code printed; None when the engine has ended. queue.Empty after the timeout."""
        while True:
            event = self.events.get(timeout=timeout)
            if event is None or "native" in event or event["id"] == number:
                return event

    def end(self):
        self.process.kill()
        self.process.wait()


class CSharpKernel(Kernel):
    implementation = "NeuronQuant"
    implementation_version = "1"
    banner = "C# by the notebook engine of NeuronQuant Workbook"
    language_info = {"name": "C#", "version": "13.0", "mimetype": "text/x-csharp", "file_extension": ".cs", "pygments_lexer": "csharp",
                     "codemirror_mode": "text/x-csharp"}

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.engine = self.new_engine()

    def new_engine(self):
        return Engine(json.loads(os.environ["NQ_KERNEL_ENGINE"]))

    def do_execute(self, code, silent, store_history=True, user_expressions=None, allow_stdin=False):
        try:
            number, done = self.engine.ask(op="execute", code=code), None
        except (BrokenPipeError, ValueError):
            done = self.ended()
        try:
            while done is None:
                done = self.pass_on(self.engine.answer(number), number, silent)
        except KeyboardInterrupt:
            done = self.interrupted(number, silent)
        if done.get("left_behind"):
            self.engine.end()
            self.engine = self.new_engine()
            self.say("The cell did not stop, so the session was ended. A new one has started: run the notebook again from its first cell.\n")
        error = done.get("error")
        if error is None:
            return {"status": "ok", "execution_count": self.execution_count, "payload": [], "user_expressions": {}}
        return {"status": "error", "execution_count": self.execution_count, **error}

    def interrupted(self, number, silent):
        self.engine.ask(op="interrupt")
        done = None
        try:
            while done is None:
                done = self.pass_on(self.engine.answer(number, PATIENCE), number, silent)
        except queue.Empty:
            error = {"ename": "Interrupted", "evalue": "The cell was interrupted.", "traceback": ["The cell was interrupted and did not stop."]}
            self.send_response(self.iopub_socket, "error", error)
            return {"error": error, "left_behind": True}
        return done

    def pass_on(self, event, number, silent):
        """Shows an event; returns the answer when it is the last."""
        if event is None:
            return self.ended()
        if "native" in event:
            self.say(event["text"], event["native"])
        elif "output" in event and not silent:
            self.show(event["output"])
        return event.get("done")

    def ended(self):
        """The engine died: native code can do that."""
        code = self.engine.process.wait()
        error = {"ename": "EngineEnded", "evalue": f"The engine ended with code {code}.", "traceback": [f"The engine ended with code {code}."]}
        self.send_response(self.iopub_socket, "error", error)
        return {"error": error, "left_behind": True}

    def show(self, output):
        kind = output.pop("output_type")
        if kind == "stream":
            return self.say(output["text"], output["name"])
        if kind == "error":
            return self.send_response(self.iopub_socket, "error", output)
        # A file keeps text as lines; a message has it whole.
        output["data"] = {mime: "".join(value) if isinstance(value, list) and not mime.endswith("json") else value
                          for mime, value in output["data"].items()}
        if "display_id" in output:
            output["transient"] = {"display_id": f"{self.execution_count}-{output.pop('display_id')}"}
        if kind == "execute_result":
            output["execution_count"] = self.execution_count
        self.send_response(self.iopub_socket, kind, output)

    def say(self, text, name="stderr"):
        self.send_response(self.iopub_socket, "stream", {"name": name, "text": text})

    def question(self, default, **request):
        """Asks what the engine answers at once; a busy or dead engine gives the default."""
        try:
            number = self.engine.ask(**request)
            while True:
                event = self.engine.answer(number, 10)
                if event is None:
                    return default
                if "done" in event:
                    return event["done"]
        except (queue.Empty, BrokenPipeError, ValueError):
            return default

    def do_complete(self, code, cursor_pos):
        found = self.question({"matches": [], "start": 0, "end": 0}, op="complete", code=code, cursor=units(code, cursor_pos))
        return {"status": "ok", "matches": found["matches"], "cursor_start": points(code, found["start"]), "cursor_end": points(code, found["end"]),
                "metadata": {}}

    def do_inspect(self, code, cursor_pos, detail_level=0, omit_sections=()):
        text = self.question({"text": None}, op="inspect", code=code, cursor=units(code, cursor_pos))["text"]
        return {"status": "ok", "found": text is not None, "data": {"text/plain": text} if text else {}, "metadata": {}}

    def do_is_complete(self, code):
        status = self.question({"status": "unknown"}, op="is_complete", code=code)["status"]
        return {"status": status, "indent": "    "} if status == "incomplete" else {"status": status}

    def do_shutdown(self, restart):
        self.engine.end()
        return {"status": "ok", "restart": restart}


def units(text, position):
    """A cursor in characters, as Jupyter counts, in UTF-16 units, as C# counts."""
    return len(text[:position].encode("utf-16-le")) // 2


def points(text, position):
    return len(text.encode("utf-16-le")[:2 * position].decode("utf-16-le", errors="ignore"))


if __name__ == "__main__":
    sys.argv[0] = "nq_kernel"
    IPKernelApp.launch_instance(kernel_class=CSharpKernel)
