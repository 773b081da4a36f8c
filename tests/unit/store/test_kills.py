"""A writer killed at any moment: what is committed is whole, and a restart goes on from there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

from daemon.store import Store, books, labels, maintenance, panes, positions
from detectors.instants import HOUR

BATCH = 50
KILLS = 5

WRITER = """
import sys
from pathlib import Path
from daemon.store import Store, books, labels, panes, positions, predictions
from daemon.store.positions import Position
from detectors.instants import HOUR

BATCH = int(sys.argv[2])
store = Store.open(Path(sys.argv[1]), writer=True)
with store.read() as conn:
    stored = positions.load_positions(conn)
first = stored[0].next_offset if stored else None
while True:
    with store.write() as conn:
        offset = first or 0
        positions.advance(conn, Position("m", "predictions", "c", "t", "i", 0, offset + BATCH), first)
        offsets = list(range(offset, offset + BATCH))
        pane = offset // 400 * HOUR
        panes.add_partial(conn, "m", "7", pane, "s", rows=BATCH, profile=b"p" * 3000, sample=None, kth_hash=None,
                          min_event_time=pane, max_event_time=pane, now=0)
        predictions.add_predictions(
            conn, "m", id_hash=offsets, event_time=[pane] * BATCH, partition=[0] * BATCH, offset=offsets,
            version=["7"] * BATCH, prediction=[1.0] * BATCH, segments=["{}"] * BATCH, pane=HOUR)
        labels.add_labels(conn, "m", id_hash=offsets, time=[pane] * BATCH, partition=[0] * BATCH, offset=offsets,
                          label=[1.0] * BATCH)
        books.add(conn, "m", {"messages": BATCH, "decoded": BATCH, "predictions": BATCH, "profiled": BATCH})
    first = offset + BATCH
    if first % 800 == 0:
        with store.write() as conn:
            for group in panes.compactable(conn):
                parts = panes.load_parts(conn, group.ids)
                panes.replace(conn, group, rows=sum(p.rows for p in parts), profile=b"m", sample=None, now=0)
            labels.mark_joined(conn, "m", 0, first // 400 * HOUR)
            labels.expire(conn, "m", (first // 400 - 3) * HOUR)
    print(first, flush=True)
"""


def test_whatever_the_moment_everything_counted_is_counted_once(path: Path) -> None:
    dice = random.Random(3)
    seen = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(BATCH)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(dice.randint(1, 15)):
            seen = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.communicate()

        with Store.open(path, writer=True) as store, store.read() as conn:
            (position,) = positions.load_positions(conn)
            assert position.next_offset >= seen, "what was said to be committed is there"
            assert position.next_offset % BATCH == 0
            assert sum(pane.rows for pane in panes.pane_rows(conn, "m")) == position.next_offset
            assert sum(part.rows for part in panes.load_partials(conn, "m", 0, 10**18)) == position.next_offset
            kept = books.books(conn)["m"]
            assert kept["messages"] == kept["offered"] == kept["labels"] == position.next_offset
            assert len(labels.joined(conn, "m", 0, 10**6 * HOUR)) == kept["awaiting"]
            assert books.check(conn) == []
            assert maintenance.integrity(conn) == []
