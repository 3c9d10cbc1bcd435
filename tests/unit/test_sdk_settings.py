"""What a program of one's own is told by its environment, and what it says when that is not enough."""

import json
from pathlib import Path

import pytest

from automesh.sdk import ConfigurationError, SdkSettings


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOMESH_STATE_DIR", str(tmp_path))
    for name in ("IDENTITY_DIR", "CONTROL_ADDRESS", "API_KEY", "API_KEY_FILE", "TOKEN_FILE"):
        monkeypatch.delenv(f"AUTOMESH_{name}", raising=False)
    return tmp_path


def client(state: Path, name: str) -> Path:
    folder = state / "clients" / name
    folder.mkdir(parents=True)
    (folder / "cert.pem").touch()
    return folder


def test_a_local_stack_tells_where_control_is_and_which_certificate_there_is(state: Path) -> None:
    folder = client(state, "echo")
    (state / "stack.json").write_text(json.dumps({"control_address": "127.0.0.1:7777"}))
    settings = SdkSettings().resolved()
    assert (settings.identity_dir, settings.control_address) == (folder, "127.0.0.1:7777")


def test_what_is_said_goes_before_what_is_found(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(state, "echo")
    (state / "stack.json").write_text(json.dumps({"control_address": "127.0.0.1:7777"}))
    monkeypatch.setenv("AUTOMESH_IDENTITY_DIR", "/elsewhere")
    monkeypatch.setenv("AUTOMESH_CONTROL_ADDRESS", "control:1")
    settings = SdkSettings().resolved()
    assert (settings.identity_dir, settings.control_address) == (Path("/elsewhere"), "control:1")


def test_without_a_certificate_it_says_how_to_make_one() -> None:
    with pytest.raises(ConfigurationError, match="automesh cert issue --client NAME"):
        SdkSettings().resolved()


def test_with_several_certificates_it_asks_which(state: Path) -> None:
    client(state, "one")
    client(state, "two")
    with pytest.raises(ConfigurationError, match=r"AUTOMESH_IDENTITY_DIR to one of .*one, .*two"):
        SdkSettings().resolved()


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00"])
def test_a_stack_file_that_tells_nothing_leaves_the_default(state: Path, content: str) -> None:
    client(state, "echo")
    (state / "stack.json").write_text(content)
    assert SdkSettings().resolved().control_address == "localhost:7400"


def test_credentials_come_from_a_token_file_a_key_or_a_key_file(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="AUTOMESH_API_KEY_FILE"):
        SdkSettings().credentials()
    key_file = state / "key"
    key_file.write_text("am_filed\n")
    monkeypatch.setenv("AUTOMESH_API_KEY_FILE", str(key_file))
    assert SdkSettings().credentials().api_key == "am_filed"
    monkeypatch.setenv("AUTOMESH_API_KEY", "am_said")
    assert SdkSettings().credentials().api_key == "am_said"
    monkeypatch.setenv("AUTOMESH_TOKEN_FILE", str(state / "token"))
    assert SdkSettings().credentials().token_file == state / "token"


def test_a_key_file_that_cannot_be_read_is_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMESH_API_KEY_FILE", str(state / "nowhere"))
    with pytest.raises(ConfigurationError, match="nowhere"):
        SdkSettings().credentials()


def test_a_key_is_not_shown_where_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMESH_API_KEY", "am_secret")
    assert "am_secret" not in repr(SdkSettings())
