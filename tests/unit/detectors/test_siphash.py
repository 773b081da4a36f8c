"""Identities: SipHash of many ids at once, and that counting rows needs no data frames."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pandas.util import hash_array

from deploy.kafka.local import CHECKOUT
from detectors.rows import hash_ids
from detectors.siphash import siphash

KEY = bytes(range(16))


def test_the_first_of_the_papers_vectors() -> None:
    found = siphash(KEY, [bytes(range(length)) for length in (0, 1, 2, 15)]).tolist()
    assert [hex(value) for value in found] == [
        "0x726fdb47dd0e0e31",
        "0x74f839c593dc67fd",
        "0xd6c8009d9a94f5a",
        "0xa129ca6149be45e5",
    ]


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_a_hash_does_not_depend_on_the_others(texts: list[bytes]) -> None:
    alone = [int(siphash(KEY, [text])[0]) for text in texts]
    assert siphash(KEY, texts).tolist() == alone


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=20))
def test_identities_are_those_of_pandas(ids: list[str]) -> None:
    texts = np.empty(len(ids), dtype=object)
    texts[:] = ids
    assert hash_ids(ids).tolist() == hash_array(texts, hash_key="driftd.identity1", categorize=False).tolist()


def test_a_very_long_id_costs_no_more_than_itself() -> None:
    long = "x" * 1_000_000
    first, second, short = hash_ids([long, long + "y", "a"]).tolist()
    assert first != second
    assert short == hash_ids(["a"])[0]


def test_a_process_that_counts_rows_needs_no_data_frames() -> None:
    script = (
        "import sys, daemon.cli.process; sys.exit(', '.join(sys.modules.keys() & {'pandas', 'pyarrow', 'scipy'}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
