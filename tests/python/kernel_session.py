"""Talks to the C# kernel over Jupyter's wire, and prints what it saw as one JSON document; KernelTests.cs judges it.

    python3 kernel_session.py KERNEL

What a reader does in a front end, in one go: run cells, ask for names and meanings, interrupt cells of several kinds, lose the engine, restart,
and shut down, also in the middle of a cell. An interrupt is sent when the cell has said that it runs, and its time is measured from there
to the cell's reply. Every engine tells its process id, so that one that is left over can be found.
"""
import json
import sys
import time

from jupyter_client.manager import KernelManager

PID = "Environment.ProcessId"


class Reader:
    def __init__(self, kernel):
        self.manager = KernelManager(kernel_name=kernel)
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.pids = []

    def run(self, code, interrupts=0):
        """One cell: its reply, its outputs, and the seconds from the first of its texts to the reply."""
        outputs, sent = [], []

        def hook(message):
            kind, content = message["msg_type"], message["content"]
            if kind in ("stream", "display_data", "update_display_data", "execute_result", "error"):
                outputs.append({"type": kind, "text": content.get("text", content.get("evalue", content.get("data", {}).get("text/plain"))),
                                "name": content.get("name", content.get("ename")), "display": content.get("transient", {}).get("display_id")})
            if kind == "stream" and len(sent) < interrupts:
                sent.append(time.monotonic())
                for _ in range(interrupts):
                    self.manager.interrupt_kernel()

        reply = self.client.execute_interactive(code, timeout=60, stop_on_error=False, output_hook=hook)["content"]
        return {"status": reply["status"], "count": reply["execution_count"], "error": reply.get("ename"), "outputs": outputs,
                "seconds": time.monotonic() - sent[0] if sent else None}

    def remember(self):
        self.pids.append(int(self.run(PID)["outputs"][0]["text"]))

    def complete(self, code, cursor):
        found = self.client.complete(code, cursor, reply=True, timeout=30)["content"]
        return [found["matches"], found["cursor_start"], found["cursor_end"]]

    def whole(self, code):
        asked = self.client.is_complete(code)
        while True:
            reply = self.client.get_shell_msg(timeout=30)
            if reply["parent_header"]["msg_id"] == asked:
                return reply["content"]

    def inspect(self, code, cursor):
        return self.client.inspect(code, cursor, reply=True, timeout=30)["content"]["data"].get("text/plain")


def cells(reader):
    raw = "var raw = Console.OpenStandardOutput(); raw.Write(Encoding.UTF8.GetBytes(\"no line end\")); raw.Flush();"
    return {
        "first": reader.run("#r \"NeuronQuant.dll\"\nusing NeuronQuant;\nusing NeuronQuant.Display;\nvar x = 40;\nx + 2"),
        "streams": reader.run("Console.WriteLine(\"out\"); Console.Error.WriteLine(\"err\");"),
        "updates": reader.run("var a = display(\"a\"); var b = display(\"b\"); a.Update(\"c\");"),
        "again": reader.run("display(\"a\");"),
        "wrong": reader.run("int y = ;"),
        "thrown": reader.run("throw new InvalidOperationException(\"no\");"),
        "native": reader.run(raw),
        "asked": reader.run("Console.ReadLine()"),
        "kept": reader.run("x"),
        "completed": reader.complete("var \u017elu\u0165 = \"\U0001d4b3\"; x.CompareT", 26),
        "inspected": reader.inspect("Figure.Line", 3),
        "nothing": reader.inspect("nothing", 3),
        "console": reader.whole("if (true) {"),
    }


def interrupts(reader):
    say = "Console.WriteLine(\"runs\"); "
    seen = {"library": reader.run(say + "var p = Workbook.Progress(100000); for (var i = 0; i < 100000; i++) { "
                                        "System.Threading.Thread.Sleep(5); p.Advance(); }", 1), "kept": reader.run("x")}
    for name, code, count in (("loop", "while (true) { }", 1), ("sleep", "System.Threading.Thread.Sleep(60000);", 1), ("await", "await Task.Delay(60000);", 2),
                              ("flood", "while (true) Console.WriteLine(\"more\");", 1)):
        reader.remember()
        seen[name] = reader.run(say + code, count)
        seen[name]["outputs"] = seen[name]["outputs"][-2:]
        seen[name]["after"] = reader.run("1 + 1")
    reader.manager.interrupt_kernel()  # Of nothing.
    seen["idle"] = reader.run("2 + 2")
    return seen


def endings(reader):
    reader.remember()
    seen = {"died": reader.run("Environment.Exit(3);"), "alive": reader.run("3 + 3")}
    reader.remember()
    reader.run("var gone = 1;")
    reader.manager.restart_kernel()
    reader.client.wait_for_ready(timeout=60)
    seen["restarted"] = reader.run("gone")
    reader.remember()
    return seen


def stay(reader, **how):
    """Ends the kernel in the middle of a cell."""
    reader.remember()
    reader.client.execute("while (true) { }")
    while reader.client.get_iopub_msg(timeout=30)["msg_type"] != "execute_input":
        pass
    reader.manager.shutdown_kernel(**how)
    return reader.pids


def main(kernel):
    reader = Reader(kernel)
    seen = {"cells": cells(reader), "interrupts": interrupts(reader), "endings": endings(reader)}
    reader.manager.shutdown_kernel()
    seen["pids"] = reader.pids + stay(Reader(kernel)) + stay(Reader(kernel), now=True)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
