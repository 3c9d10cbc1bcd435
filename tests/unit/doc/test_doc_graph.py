"""The graph of revisions: what led to one, what two have in common."""

from hypothesis import given
from hypothesis import strategies as st

from services.doc.domain.documents.graph import Graph, Node


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Revisions in order, each with up to two parents before it."""
    nodes = [Node("r0", 0, ())]
    for number in range(1, draw(st.integers(1, 12))):
        parents = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=2, unique=True))
        nodes.append(Node(f"r{number}", number, tuple(f"r{each}" for each in parents)))
    return nodes


def reached(nodes: list[Node], start: str) -> set[str]:
    """By the definition: itself, and all that its parents reach."""
    known = {node.revision_id: node for node in nodes}
    return {start}.union(*(reached(nodes, parent) for parent in known[start].parents))


@given(graphs(), st.data())
def test_history_is_everything_that_led_there_newest_first(nodes: list[Node], data: st.DataObject) -> None:
    start = data.draw(st.sampled_from([node.revision_id for node in nodes]))
    history = list(Graph(nodes).history(start))
    assert {node.revision_id for node in history} == reached(nodes, start)
    numbers = [node.number for node in history]
    assert numbers == sorted(set(numbers), reverse=True)


@given(graphs(), st.data())
def test_the_ancestor_is_the_newest_that_both_came_from(nodes: list[Node], data: st.DataObject) -> None:
    one, other = (data.draw(st.sampled_from([node.revision_id for node in nodes])) for _ in range(2))
    graph = Graph(nodes)
    common = reached(nodes, one) & reached(nodes, other)
    assert graph.ancestor(one, other) == graph.ancestor(other, one) == max(common, key=lambda each: int(each[1:]))


@given(graphs(), st.data())
def test_what_only_one_has_is_all_that_led_there_without_what_led_to_the_other(
    nodes: list[Node], data: st.DataObject
) -> None:
    one, other = (data.draw(st.sampled_from([node.revision_id for node in nodes])) for _ in range(2))
    only = [node.revision_id for node in Graph(nodes).only(one, other)]
    assert set(only) == reached(nodes, one) - reached(nodes, other)
    assert Graph(nodes).only(one, one) == []


def test_histories_that_have_nothing_in_common_have_no_ancestor() -> None:
    graph = Graph([Node("a", 1, ()), Node("b", 2, ())])
    assert graph.ancestor("a", "b") == ""
    assert graph.ancestor("a", "unknown") == ""
    assert [node.revision_id for node in graph.only("b", "a")] == ["b"]
