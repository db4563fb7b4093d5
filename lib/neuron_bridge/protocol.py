"""Lines of JSON over the standard streams.

  in   {"id": 1, "call": "compile", "arguments": {...}}
  out  {"event": "ready" | "heartbeat" | "log" | "result" | "error", "id": 1, ...}

Native code and subprocesses (the compiler above all) write to file descriptor 1 as they like. So descriptor 1 is taken away from them and
pointed at the error stream, which the parent logs; the answers go out on a private copy. What Python itself prints becomes a "log" event.
The process leads a group of its own and ends that group when its input closes: a parent that died leaves nothing running.
"""
import json
import logging
import math
import os
import queue
import re
import signal
import sys
import threading
import traceback

HEARTBEAT_SECONDS = 1.0
COMPILER_CODE = re.compile(r"\bNCC_[A-Z]+\d+\b")


class BridgeError(Exception):
    """Something is wrong with the request or the machine, and the message says what to do."""


class LogStream:
    """A text stream that turns lines into log events."""

    encoding = "utf-8"

    def __init__(self, log):
        self._log, self._rest = log, ""

    def write(self, text):
        *lines, self._rest = (self._rest + text.replace("\r", "\n")).split("\n")
        for line in lines:
            if line.strip():
                self._log(line)
        return len(text)

    def flush(self):
        """Lines are sent as they end; there is nothing to wait for."""

    def isatty(self):
        return False

    def fileno(self):
        return 2  # For code that wants a descriptor, such as faulthandler: the error stream.


def clean(value):
    """JSON has no NaN and no infinity; they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return value


def encode(fields):
    return json.dumps(clean(fields), ensure_ascii=True, allow_nan=False)


def outcome(request_id, call):
    """One line: what a call gave, or how it failed."""
    try:
        return encode({"event": "result", "id": request_id, "result": call()})
    except BaseException as error:  # pylint: disable=broad-except - the other side decides what ends the session
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return encode({"event": "error", "id": request_id, "type": type(error).__name__, "message": str(error) or type(error).__name__,
                       "traceback": text, "codes": sorted(set(COMPILER_CODE.findall(text)))})


class Channel:
    def __init__(self):
        if hasattr(os, "setsid") and os.getpgrp() != os.getpid():
            os.setsid()
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
        self._input = os.fdopen(os.dup(0), "r", encoding="utf-8")
        os.dup2(2, 1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)  # Nothing else may read the requests.
        os.close(null)
        self._lock = threading.Lock()
        self._id = None
        self._requests = queue.Queue()
        sys.stdout = sys.stderr = LogStream(self.log)
        logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def send(self, **fields):
        self._write(encode(fields))

    def _write(self, line):
        with self._lock:
            self._out.write(line + "\n")
            self._out.flush()

    def log(self, line):
        self.send(event="log", id=self._id, line=str(line))

    def requests(self):
        while (line := self._requests.get()) is not None:
            try:
                request = json.loads(line)
                if not isinstance(request, dict) or not isinstance(request.get("call"), str):
                    raise ValueError("it is no object with a call")
            except ValueError as error:
                self.send(event="error", id=None, type="BridgeError", message=f"The request is not understood: {error}", traceback="", codes=[])
                continue
            yield request

    def answer(self, request, call):
        self._id = request.get("id")
        try:
            self._write(outcome(self._id, lambda: call(request["call"], request.get("arguments") or {})))
        finally:
            self._id = None

    def _read(self):
        for line in self._input:
            if line.strip():
                self._requests.put(line)
        self._requests.put(None)
        # The parent closed the input or died. A call in progress would run for nobody: end it, and all that it started.
        if self._id is not None and hasattr(os, "killpg"):
            os.killpg(os.getpid(), signal.SIGKILL)

    def _beat(self):
        while True:
            threading.Event().wait(HEARTBEAT_SECONDS)
            try:
                self.send(event="heartbeat", id=self._id)
            except (OSError, ValueError):
                return
