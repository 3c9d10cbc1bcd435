"""`python -m automesh.cli`: the `automesh` command."""

from automesh.cli.main import app

if __name__ == "__main__":
    app()
