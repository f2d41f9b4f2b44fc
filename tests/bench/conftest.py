"""Charts as pixels need matplotlib, which comes with the extra "bench": else their tests are not
part of the suite. What the charts show is tested without it."""

from __future__ import annotations

import importlib.util

collect_ignore = [] if importlib.util.find_spec("matplotlib") else ["test_plots.py"]
