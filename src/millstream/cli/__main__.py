"""`python -m millstream.cli`: the same as the command `millstream`."""

import sys

from millstream.cli import main

sys.exit(main())
