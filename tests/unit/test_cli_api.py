"""The CLI's client of the platform, without a platform."""

from typing import Any

from automesh.cli.api import Api, Json


class ThreePages(Api):
    """Answers as the gateway does, and remembers which pages it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self, path: str, **query: Any) -> Json:
        page = int(query["pageToken"] or "0")
        self.asked.append(query["pageToken"])
        return {"users": [{"userId": f"{page}a"}, {"userId": f"{page}b"}], "nextPageToken": str(page + 1) * (page < 2)}


def test_a_list_has_the_items_of_all_pages() -> None:
    api = ThreePages()
    assert [each["userId"] for each in api.every("/users", "users")] == ["0a", "0b", "1a", "1b", "2a", "2b"]
    assert api.asked == ["", "1", "2"]
