"""What a program says of settings that cannot be used."""

import pytest

from automesh.mesh.settings import EXIT_REFUSED, MeshSettings, read_settings
from services.orchestrator.settings import Settings


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMESH_SERVICE", "told")
    monkeypatch.setenv("AUTOMESH_TRUST_DOMAIN", "acme.test")
    settings = read_settings(MeshSettings, service="given")
    assert (settings.service, settings.trust_domain) == ("given", "acme.test")


def test_each_variable_that_is_wrong_is_named_and_no_value_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOMESH_LISTEN_PORT", "s3cret")
    monkeypatch.setenv("AUTOMESH_POSTGRES_DSN", "postgres://somebody:s3cret@nowhere")
    monkeypatch.delenv("AUTOMESH_KEYRING_FILE", raising=False)
    with pytest.raises(SystemExit) as left:
        read_settings(Settings)
    said = capsys.readouterr().err
    assert left.value.code == EXIT_REFUSED
    assert [line.partition(":")[0] for line in said.splitlines()] == ["AUTOMESH_LISTEN_PORT", "AUTOMESH_KEYRING_FILE"]
    assert "s3cret" not in said
