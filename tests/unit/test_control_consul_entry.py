"""Entries of Consul's catalogue, also odd ones, as instances."""

from __future__ import annotations

from typing import Any

import pytest

from services.control.clients.consul import _next_index, instance_from_consul
from services.control.domain.instance import Instance


def entry(**service: Any) -> dict[str, Any]:
    known = {
        "ID": "echo-1",
        "Service": "echo",
        "Address": "10.0.0.7",
        "Port": 4001,
        "Meta": {"version": "1.2", "protocol": "grpc", "spiffe_id": "spiffe://x", "zone": "a"},
    }
    return {
        "Node": {"Address": "10.0.0.1"},
        "Service": {**known, **service},
        "Checks": [{"Status": "passing"}, {"Status": "passing"}],
    }


def test_an_entry_is_an_instance_with_its_own_metadata_apart() -> None:
    assert instance_from_consul(entry()) == Instance(
        instance_id="echo-1",
        service="echo",
        address="10.0.0.7",
        port=4001,
        version="1.2",
        metadata={"zone": "a"},
        spiffe_id="spiffe://x",
    )


def test_a_service_without_an_address_is_where_its_node_is() -> None:
    assert instance_from_consul(entry(Address="")).address == "10.0.0.1"


def test_one_check_that_does_not_pass_is_enough_to_be_unhealthy() -> None:
    odd = entry()
    odd["Checks"][1]["Status"] = "warning"
    assert not instance_from_consul(odd).healthy


def test_a_service_without_port_or_meta_is_read_all_the_same() -> None:
    odd = instance_from_consul(entry(Port=None, Meta=None))
    assert (odd.port, odd.version, odd.metadata) == (0, "", {})


@pytest.mark.parametrize(
    ("before", "fresh", "expected"), [(None, 5, 5), (5, 9, 9), (5, 5, 5), (9, 5, None), (None, 0, None)]
)
def test_an_index_that_runs_backwards_starts_over(before: int | None, fresh: int, expected: int | None) -> None:
    assert _next_index(before, fresh) == expected
