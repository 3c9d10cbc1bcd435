"""`python -m services.orchestrator`: accepts tasks and hands them to agents until told to stop."""

from automesh.mesh.process import run
from automesh.mesh.settings import read_settings
from services.orchestrator.app import build
from services.orchestrator.settings import Settings


def main() -> None:
    """Reads the environment and runs."""
    run(read_settings(Settings), build)


if __name__ == "__main__":
    main()
