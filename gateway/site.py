"""The whole of what the gateway serves, built in one pass from descriptors, so that a newer one can take its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.codec import ProtoJsonCodec
from gateway.descriptors import Catalog
from gateway.endpoint import Endpoint
from gateway.errors import ErrorWriter
from gateway.metrics import MethodMetrics
from gateway.openapi import openapi_document
from gateway.page import index_page
from gateway.routing import RouteTable

OPENAPI_PATH = b"/api/v1/openapi.json"


@dataclass(frozen=True, slots=True)
class Page:
    """Something that is the same for everybody."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Site:
    """Routes, pages, and how errors are written."""

    routes: RouteTable[Endpoint]
    endpoints: tuple[Endpoint, ...]
    pages: Mapping[bytes, Page]
    errors: ErrorWriter


def build_site(
    catalog: Catalog, *, version: str = "0", ignore_unknown_fields: bool = False, ignore_unknown_query: bool = False
) -> Site:
    """Raises BadTemplate, BadBinding or RouteConflict for descriptors that cannot be served."""
    codec = ProtoJsonCodec(catalog.pool, ignore_unknown=ignore_unknown_fields)
    routes: RouteTable[Endpoint] = RouteTable()
    endpoints = []
    for rpc in catalog.rpcs:
        metrics = MethodMetrics(rpc.full_name)
        for rule in rpc.rules:
            endpoint = Endpoint(codec, rpc, rule, metrics=metrics, ignore_unknown_query=ignore_unknown_query)
            routes.add(rule.method, endpoint.template, endpoint)
            endpoints.append(endpoint)
    pages = {
        OPENAPI_PATH: Page(
            ((b"content-type", b"application/json"), (b"cache-control", b"no-cache")),
            openapi_document(catalog, endpoints, version=version),
        ),
        b"/": Page(*index_page(catalog, endpoints)),
        b"/healthz": Page(((b"content-type", b"text/plain; charset=utf-8"),), b"ok\n"),
    }
    return Site(routes, tuple(endpoints), pages, ErrorWriter(catalog.pool))
