"""The page at `/`: what is served here, for people. No scripts, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from gateway.descriptors import Catalog
from gateway.endpoint import Endpoint

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
td{border-top:1px solid #8884;padding:.4rem .6rem;vertical-align:top}
code{font-size:.9em;overflow-wrap:anywhere}
.m{font-weight:600;white-space:nowrap}
""".strip()
_CSP = "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def index_page(catalog: Catalog, endpoints: Sequence[Endpoint]) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    """Headers and body."""
    sections: dict[str, list[str]] = {}
    for endpoint in endpoints:
        service = endpoint.rpc.full_name.rpartition(".")[0]
        sections.setdefault(service, []).append(_row(catalog, endpoint))
    body = "".join(
        f"<h2>{escape(service)}</h2><p>{escape(catalog.comments.get(service, ''))}</p><table>{''.join(rows)}</table>"
        for service, rows in sorted(sections.items())
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>automesh</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>automesh</h1>"
        '<p>Everything below as <a href="/api/v1/openapi.json">OpenAPI 3.1</a>. '
        'The state of the whole: <a href="/api/v1/health">health</a>.</p>'
        f"{body}</body></html>"
    )
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", _CSP.format(digest=digest).encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )
    return headers, page.encode()


def _row(catalog: Catalog, endpoint: Endpoint) -> str:
    text = catalog.comments.get(endpoint.rpc.full_name, "")
    return (
        f'<tr><td class="m">{escape(endpoint.rule.method)}</td>'
        f"<td><code>{escape(endpoint.rule.template)}</code><br>{escape(text)}</td></tr>"
    )
