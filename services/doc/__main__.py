"""`python -m services.doc`: keeps documentation until told to stop."""

from automesh.mesh.process import run
from automesh.mesh.settings import read_settings
from services.doc.app import build
from services.doc.settings import Settings


def main() -> None:
    """Reads the environment and runs."""
    run(read_settings(Settings), build)


if __name__ == "__main__":
    main()
