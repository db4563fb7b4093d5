"""The bridge inside another program's process: the same calls, JSON text in and out, and lines to a function of that program.

Nothing is taken away from the host: it keeps its descriptors, its signals and its process group. So what native code or a tool writes to
descriptor 1 goes where the host's own output goes, and only what Python itself prints becomes lines here. One Inside at a time.
"""
import gc
import glob
import logging
import os
import signal
import sys
import threading

from . import functions
from .protocol import LogStream, outcome


class Inside:
    def __init__(self, note, variables, folders):
        """Variables are set here, in the environment that native libraries read; the host's runtime may keep a copy that they never see."""
        self._session = functions.Session(note)
        self._before = (sys.stdout, sys.stderr, list(sys.path))
        self._environment = dict(os.environ)
        os.environ.update(variables)
        sys.path[:0] = folders
        sys.stdout = sys.stderr = LogStream(note)
        self._handler = logging.StreamHandler(sys.stdout)
        self._handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(self._handler)

    def call(self, name, arguments):
        """What the child process would have answered, as one line of JSON."""
        return outcome(None, lambda: functions.call(self._session, name, arguments))

    def close(self):
        self._session = None
        logging.getLogger().removeHandler(self._handler)
        sys.stdout, sys.stderr, sys.path[:] = self._before
        os.environ.clear()  # The next session of this process starts with what this one found.
        os.environ.update(self._environment)
        end_children()
        gc.collect()


def end_children():
    """Ends every process that Python's own threads started, and what those started. Linux tells which thread is whose parent."""
    for thread in threading.enumerate():
        # A thread of the host that only passed through Python is a dummy here, and its children are the host's.
        if thread.native_id is not None and type(thread).__name__ != "_DummyThread":
            for process in _children(os.getpid(), thread.native_id):
                _end(process)


def _children(process, thread):
    try:
        with open(f"/proc/{process}/task/{thread}/children", encoding="ascii") as file:
            return [int(number) for number in file.read().split()]
    except OSError:
        return []


def _end(process):
    for task in glob.glob(f"/proc/{process}/task/*"):
        for child in _children(process, int(os.path.basename(task))):
            _end(child)
    try:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    except (OSError, AttributeError):
        pass  # It ended by itself, or is another's to collect.
