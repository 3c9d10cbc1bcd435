"""gRPC ignores options that it does not know: a name with a typing error would quietly do nothing."""

import re
from pathlib import Path

import pytest
from grpc._cython import cygrpc

ROOT = Path(__file__).resolve().parents[2]
OPTION = re.compile(r'\("(grpc\.[a-z0-9_.]+)", ')


def options() -> set[str]:
    sources = [path for folder in ("libs/automesh", "services", "gateway") for path in (ROOT / folder).rglob("*.py")]
    return {name for path in sources for name in OPTION.findall(path.read_text())}


@pytest.fixture(scope="module")
def core() -> bytes:
    return Path(cygrpc.__file__).read_bytes()


def test_every_option_that_we_set_is_one_that_grpc_knows(core: bytes) -> None:
    assert len(options()) > 5
    assert {name for name in options() if name.encode() not in core} == set()


def test_a_misspelt_option_would_be_noticed(core: bytes) -> None:
    assert b"grpc.max_conection_age_ms" not in core
