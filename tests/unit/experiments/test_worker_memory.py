"""A process prepared for runs; each test in a fresh one, because pyarrow looks for pandas once."""

from __future__ import annotations

import subprocess
import sys

START = "import sys, pyarrow as pa; from ksched.experiments.worker_memory import start_small; start_small()\n"


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", START + code], check=True, capture_output=True, text=True).stdout


def test_arrow_tables_need_no_pandas():
    code = "pa.table({'a': [1, None], 'b': ['x', 'y']}).column('a').to_numpy()\nprint('pandas' in sys.modules)"
    assert python(code) == "False\n"


def test_whoever_asks_for_pandas_gets_it():
    code = (
        "frame = pa.table({'a': [1, None]}).to_pandas()\n"
        "import pandas\n"
        "print(type(frame) is pandas.DataFrame, pa.Table.from_pandas(frame).to_pydict())"
    )
    assert python(code) == "True {'a': [1.0, None]}\n"


def test_arrow_takes_its_memory_from_the_system():
    assert python("print(pa.default_memory_pool().backend_name)") == "system\n"
