"""Interrupts the .NET Interactive kernel three times during a long call of the library, as Jupyter's stop button does; prints what came of it.

    python3 kernel_interrupt.py PATH/OF/NeuronQuant.dll
"""
import json
import sys
import time

from jupyter_client.manager import start_new_kernel

LONG = "{ var p = Workbook.Progress(100000); for (int i = 0; i < 100000; i++) { System.Threading.Thread.Sleep(10); p.Advance(); } }"


def run(client, code, interrupt=None):
    """The messages of one cell; interrupt is called once the cell is busy."""
    identifier, seen, due = client.execute(code), [], None
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != identifier:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] == "busy" and interrupt and due is None:
            time.sleep(1.5)
            due = time.time()
            interrupt()
        if kind == "status" and content["execution_state"] == "idle":
            return seen, time.time() - (due or time.time())
        seen.append((kind, content))


def main(library):
    manager, client = start_new_kernel(kernel_name=".net-csharp", startup_timeout=60)
    try:
        run(client, f'#r "{library}"\nusing NeuronQuant;\nvar x = Workbook.Start().Packages.Count;')
        run(client, "x = 42;")
        errors, seconds = [], []
        for _ in range(3):
            seen, took = run(client, LONG, manager.interrupt_kernel)
            text = " ".join(json.dumps(content) for kind, content in seen if kind in ("error", "stream"))
            errors.append("OperationCanceledException" if "OperationCanceled" in text or "operation was canceled" in text else text[:300])
            seconds.append(took)
        kept = [content["data"]["text/plain"] for kind, content in run(client, "x")[0] if kind == "execute_result"]
        console = [content["text"] for kind, content in run(client, 'Console.WriteLine("printed");')[0] if kind == "stream"]
        print(json.dumps({"errors": errors, "seconds": seconds, "kept": "".join(kept), "console": "".join(console)}))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)


main(*sys.argv[1:])
