"""What makes a registration unusable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from automesh.core.errors import ValidationError
from services.control.domain.instance import Instance, check

GOOD = Instance(instance_id="echo-1", service="echo", address="10.0.0.7", port=4001)


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        replace(GOOD, address="fd00::7"),
        replace(GOOD, address="echo-1.prod.example.com"),
        replace(GOOD, instance_id="inst_01jd5x0v9k7q2m4n6p8r0t1v3", service="model-runner"),
        replace(GOOD, metadata={"zone": "a"}),
    ],
)
def test_a_process_that_can_be_called_is_accepted(good: Instance) -> None:
    check(good)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (replace(GOOD, port=0), "port"),
        (replace(GOOD, port=70_000), "port"),
        (replace(GOOD, port=-1), "port"),
        (replace(GOOD, address=""), "address"),
        (replace(GOOD, address="no such place"), "address"),
        (replace(GOOD, address="a/b"), "address"),
        (replace(GOOD, service=""), "service"),
        (replace(GOOD, service="Echo"), "service"),
        (replace(GOOD, service="../echo"), "service"),
        (replace(GOOD, instance_id=""), "instance_id"),
        (replace(GOOD, instance_id="x" * 129), "instance_id"),
        (replace(GOOD, instance_id="a\nb"), "instance_id"),
        (replace(GOOD, metadata={str(n): "" for n in range(33)}), "metadata"),
        (replace(GOOD, metadata={"note": "x" * 600}), "metadata"),
        (replace(GOOD, metadata={"": "x"}), "metadata"),
    ],
)
def test_one_that_nobody_could_call_is_refused_by_the_name_of_the_field(bad: Instance, field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check(bad)
    assert [violation.field for violation in caught.value.violations] == [field]
