"""A worker that gave its arrays back to the system after every block would spend most of its time on page faults."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

ROUNDS, ARRAYS, MIB = 20, 16, 2**20
BLOCKS = f"""
import resource, sys
import numpy as np
from wheeltapper_workers.runtime import memory
if sys.argv[1] == "keep":
    memory.keep_freed()
def block():
    return [np.ones({MIB} // 8) for _ in range({ARRAYS})]
block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    block()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
ALL_ANEW = ROUNDS * ARRAYS * MIB // 4096


def faults(deed, **environment):
    command = [sys.executable, "-c", BLOCKS, deed]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="The C library has no such setting")
def test_arrays_of_a_block_lie_where_those_of_the_last_one_lay():
    assert faults("keep") < ALL_ANEW / 20


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="The C library has no such setting")
def test_what_the_environment_says_of_it_is_left_alone():
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="0") > ALL_ANEW / 2
