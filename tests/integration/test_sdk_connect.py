"""The connection of a program of one's own: certificate, credentials, and what it says when they are missing."""

from pathlib import Path

import pytest

from automesh.mesh import bootstrap
from automesh.mesh.identity import BadIdentity
from automesh.sdk import SdkSettings, connect
from automesh.testing.ca import ThrowawayCa


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bootstrap.VARIABLE, "")  # restored afterwards: connecting sets it


async def test_a_token_file_says_who_calls(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a.b.c\n")
    identity = ThrowawayCa(tmp_path / "ca").client("echo")
    settings = SdkSettings(identity_dir=identity.folder, token_file=token, control_address="127.0.0.1:1")
    async with connect(settings) as connection:
        assert await connection.metadata() == (("authorization", "Bearer a.b.c"),)


async def test_without_an_identity_it_says_which_file_is_missing(tmp_path: Path) -> None:
    settings = SdkSettings(identity_dir=tmp_path / "nowhere", token_file=tmp_path / "token")
    with pytest.raises(BadIdentity, match=r"nowhere/cert\.pem"):
        async with connect(settings):
            pass
