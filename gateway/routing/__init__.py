"""Which rpc serves a request: path templates and the trie that matches them."""

from gateway.routing.path import Path, parse_path
from gateway.routing.template import BadTemplate, Template, parse_template
from gateway.routing.trie import Captures, Match, RouteConflict, RouteTable

__all__ = [
    "BadTemplate",
    "Captures",
    "Match",
    "Path",
    "RouteConflict",
    "RouteTable",
    "Template",
    "parse_path",
    "parse_template",
]
