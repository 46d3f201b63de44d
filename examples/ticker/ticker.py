"""Writes made-up quotes to standard output until it is told to stop."""

from __future__ import annotations

import argparse
import queue
import signal
import threading

import quotes.feed
import quotes.wording
from modctl import agent


def make_quotes(out: queue.Queue[quotes.feed.Quote], interval_s: float, stopped: threading.Event) -> None:
    """The first thread."""
    number = 0
    while not stopped.wait(interval_s):
        number += 1
        out.put(quotes.feed.quote(number))


def write_quotes(source: queue.Queue[quotes.feed.Quote]) -> None:
    """The second thread."""
    while True:
        print(quotes.wording.line(source.get()), flush=True)


def main() -> None:
    """Runs until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between quotes")
    interval_s: float = parser.parse_args().interval
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    agent.start(service="ticker")
    made: queue.Queue[quotes.feed.Quote] = queue.Queue()
    threading.Thread(target=make_quotes, args=(made, interval_s, stopped), name="feed", daemon=True).start()
    threading.Thread(target=write_quotes, args=(made,), name="writer", daemon=True).start()
    stopped.wait()


if __name__ == "__main__":
    main()
