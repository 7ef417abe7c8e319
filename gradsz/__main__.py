"""`python -m gradsz` is the command `gradsz`."""

import sys

from gradsz.cli import main

sys.exit(main())
