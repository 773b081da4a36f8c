"""Identities: MurmurHash64A of many ids at once, and that counting rows needs no data frames."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from deploy.kafka.local import CHECKOUT
from detectors.murmurhash import murmurhash
from detectors.rows import hash_ids


def test_it_is_the_published_function() -> None:
    # SMHasher's verification: every length up to 255, each with a seed of its own, and the hash of those hashes.
    hashes = [int(murmurhash(256 - length, [bytes(range(length))])[0]) for length in range(256)]
    together = b"".join(value.to_bytes(8, "little") for value in hashes)
    assert int(murmurhash(0, [together])[0]) & 0xFFFFFFFF == 0x1F0D3804


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_a_hash_does_not_depend_on_the_others(texts: list[bytes]) -> None:
    alone = [int(murmurhash(7, [text])[0]) for text in texts]
    assert murmurhash(7, texts).tolist() == alone


def test_a_very_long_id_costs_no_more_than_itself() -> None:
    long = "x" * 1_000_000
    first, second, short = hash_ids([long, long + "y", "a"]).tolist()
    assert first != second
    assert short == hash_ids(["a"])[0]


def test_a_process_that_counts_rows_needs_no_data_frames() -> None:
    frames = "sys.modules.keys() & {'pandas', 'pyarrow', 'scipy'}"
    script = f"import sys, daemon.cli.process; sys.exit(', '.join({frames}) or 0)"
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
