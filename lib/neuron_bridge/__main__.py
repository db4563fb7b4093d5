"""Serves requests until the input ends. Each request runs alone; what it prints goes to the log, never between the answers."""
import sys

from . import functions
from .protocol import Channel


def main():
    if sys.version_info < (3, 10):
        sys.stderr.write("neuron_bridge needs Python 3.10 or newer, this is %d.%d\n" % sys.version_info[:2])
        return 3
    channel = Channel()
    session = functions.Session(channel.log)
    channel.send(event="ready", python="%d.%d.%d" % sys.version_info[:3], executable=sys.executable, protocol=1)
    for request in channel.requests():
        channel.answer(request, lambda name, arguments: functions.call(session, name, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
