"""`python -I -m modctl.gateway --instance-dir DIR --service NAME`."""

import sys

from modctl.gateway.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
