"""The bootstrap that gRPC reads, and the way to Consul."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from automesh.core.errors import ValidationError
from automesh.mesh import bootstrap
from automesh.mesh.consul_client import ConsulConnection, parse_address
from automesh.mesh.identity import IdentityFiles

FILES = IdentityFiles(Path("/keys"))


def test_the_bootstrap_names_control_and_the_files_of_the_certificate() -> None:
    document = bootstrap.xds_bootstrap(
        control_address="localhost:7400", identity=FILES, instance_id="inst_1", service="gateway"
    )
    (server,) = document["xds_servers"]
    assert server["server_uri"] == "localhost:7400"
    assert server["channel_creds"][0]["type"] == "tls"
    assert document["node"]["id"] == "inst_1"
    assert document["node"]["cluster"] == "gateway"
    assert document["node"]["locality"] == {"zone": bootstrap.DEFAULT_ZONE}
    watcher = document["certificate_providers"][bootstrap.CERTIFICATE_PROVIDER]
    assert watcher["plugin_name"] == "file_watcher"
    assert watcher["config"]["certificate_file"] == "/keys/cert.pem"
    assert watcher["config"] == server["channel_creds"][0]["config"]


def test_clients_that_speak_no_tls_to_control_are_sent_to_its_unix_socket() -> None:
    document = bootstrap.local_xds_bootstrap(
        socket_path="/state/run/control.sock", identity=FILES, instance_id="inst_1", service="gateway"
    )
    (server,) = document["xds_servers"]
    assert (server["server_uri"], server["channel_creds"]) == ("unix:/state/run/control.sock", [{"type": "insecure"}])
    assert bootstrap.CERTIFICATE_PROVIDER in document["certificate_providers"]


def test_installing_hands_the_document_to_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bootstrap.VARIABLE, "")
    bootstrap.install({"node": {"id": "x"}})
    assert json.loads(os.environ[bootstrap.VARIABLE]) == {"node": {"id": "x"}}


def test_the_socket_is_in_the_state_folder() -> None:
    assert bootstrap.control_socket(Path("/state")) == Path("/state/run/control.sock")


def test_a_state_folder_with_a_long_path_gets_a_short_socket_of_its_own() -> None:
    deep = Path("/", *["folder"] * 20)
    short = bootstrap.control_socket(deep)
    assert len(str(short)) <= bootstrap.MAX_SOCKET_PATH
    assert short == bootstrap.control_socket(deep)
    assert short != bootstrap.control_socket(deep / "other")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:8500", ("127.0.0.1", 8500, "http")),
        ("consul.internal", ("consul.internal", 8500, "http")),
        ("https://consul.internal", ("consul.internal", 8501, "https")),
        ("http://consul:9999/", ("consul", 9999, "http")),
    ],
)
def test_an_address_of_consul_may_be_a_host_or_a_url(address: str, expected: tuple[str, int, str]) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize("address", ["", ":8500", "host:port", "ftp://host", "http://"])
def test_what_is_no_address_of_consul_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        parse_address(address)


def test_a_ca_file_makes_https_the_default() -> None:
    assert parse_address("consul.internal", scheme="https") == ("consul.internal", 8501, "https")


async def test_the_token_of_consul_is_read_anew_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    connection = ConsulConnection("127.0.0.1:8500", token_file=token)
    assert connection.prepare_headers() == {"X-Consul-Token": "first"}
    token.write_text("second\n")
    assert connection.prepare_headers() == {"X-Consul-Token": "second"}
    await connection.close()


async def test_without_a_token_file_no_token_is_sent() -> None:
    connection = ConsulConnection("127.0.0.1:8500")
    assert connection.prepare_headers() == {}
    await connection.close()
