"""The descriptors of a test service that has every shape of request and response."""

import importlib.resources
from pathlib import Path

import pytest
from google.protobuf.message import Message
from grpc_tools import protoc

from gateway.codec import ProtoJsonCodec
from gateway.descriptors import Catalog, load_catalog

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def echo_descriptors(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("protos") / "echo.binpb"
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'tests' / 'fixtures' / 'protos'}",
            f"-I{ROOT / 'proto'}",
            f"-I{importlib.resources.files('grpc_tools') / '_proto'}",
            f"--descriptor_set_out={out}",
            "--include_imports",
            "--include_source_info",
            "acme/echo/v1/echo.proto",
        ]
    )
    assert code == 0
    return out.read_bytes()


@pytest.fixture(scope="session")
def echo(echo_descriptors: bytes) -> Catalog:
    return load_catalog(echo_descriptors)


@pytest.fixture(scope="session")
def everything(echo: Catalog) -> type[Message]:
    """A message with a field of every kind."""
    return echo.message_class(echo.pool.FindMessageTypeByName("acme.echo.v1.Everything"))


@pytest.fixture(scope="session")
def codec(echo: Catalog) -> ProtoJsonCodec:
    return ProtoJsonCodec(echo.pool)
