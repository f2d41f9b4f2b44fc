"""python -m tests.soak: see run.py."""

import sys

from tests.soak.run import main

sys.exit(main())
