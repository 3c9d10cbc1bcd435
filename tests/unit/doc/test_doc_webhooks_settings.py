"""What the operator says of webhooks is looked at when the service starts."""

import pytest

from automesh.outbound.webhooks import usable


def test_an_allow_list_is_taken_as_it_is_or_refused_with_the_entry() -> None:
    entries = ["https://hooks.example.org/", "http://127.0.0.1:9000/ private"]
    assert usable(entries) == entries
    assert usable([]) == []
    for wrong in ("hooks.example.org", "https://*/ private", "https://x/?q=1", "ftp://x/"):
        with pytest.raises(ValueError, match=r"is no entry|has a query|for one host"):
            usable([wrong])
