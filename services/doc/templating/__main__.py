"""`python -m services.doc.templating`: answers jobs on standard input until it ends."""

import sys

from services.doc.templating.worker import serve

if __name__ == "__main__":
    sys.exit(serve())
