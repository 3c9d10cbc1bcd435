"""What the gateway is told by its environment, beyond what every process of the mesh is told: AUTOMESH_GATEWAY_*."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from automesh.mesh.settings import MeshSettings


class Settings(MeshSettings):
    """Read once, in `__main__`. Sizes are bytes, times are seconds."""

    service: str = "gateway"

    gateway_host: str = Field("127.0.0.1", description="where HTTP listens")
    gateway_port: int = Field(8443, ge=1, le=65535, description="where HTTP listens")
    gateway_tls: Literal["on", "off"] = Field("on", description="off: plain HTTP, allowed on loopback only")
    gateway_tls_certificate_file: Path | None = Field(None, description="PEM chain of the web certificate")
    gateway_tls_key_file: Path | None = Field(None, description="PEM key of the web certificate")
    gateway_descriptor_files: tuple[Path, ...] = Field((), description="further FileDescriptorSets, as a JSON list")

    gateway_max_body: int = Field(8 * 1024 * 1024, ge=1024, description="larger request bodies are refused (413)")
    gateway_body_timeout_s: float = Field(60, gt=0, description="a request body must have come by then (408)")
    gateway_max_upload_bytes: int = Field(
        10 * 1024**3, ge=1024, description="larger uploads, which are streamed, are refused (413)"
    )
    gateway_upload_silence_s: float = Field(60, gt=0, description="an upload of which nothing comes for so long ends")
    gateway_max_headers: int = Field(32 * 1024, ge=1024, description="larger request headers are refused (431)")
    gateway_max_requests: int = Field(4096, ge=1, description="requests served at a time; further ones wait")
    gateway_timeout_s: float = Field(30, gt=0, description="deadline of a call when the client names none")
    gateway_longest_timeout_s: float = Field(600, gt=0, description="the longest deadline that a client may name")
    gateway_stream_timeout_s: float = Field(24 * 3600, gt=0, description="the longest that a stream may last")
    gateway_keep_alive_s: float = Field(15, gt=0, description="silence after which event streams get a comment")
    gateway_api_key_cache_s: float = Field(60, gt=0, description="an API key that was revoked works at most so long")
    gateway_stalled_s: float = Field(
        300, gt=0, description="a client that takes nothing of a stream for so long is cut"
    )
    gateway_slow_s: float = Field(1, gt=0, description="requests that take longer are logged")
    gateway_ignore_unknown_fields: bool = Field(False, description="true: unknown JSON fields are dropped, not refused")
    gateway_ignore_unknown_query: bool = Field(False, description="true: unknown query parameters are dropped")
    gateway_trust_forwarded: bool = Field(False, description="true: a proxy in front sets X-Forwarded-For")

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.gateway_tls == "off":
            if not is_loopback(self.gateway_host):
                raise ValueError(
                    f"AUTOMESH_GATEWAY_TLS=off is for loopback addresses only, not {self.gateway_host}: tokens would "
                    "travel in the clear. Give a certificate, or put a TLS proxy in front and listen on 127.0.0.1"
                )
        elif self.gateway_tls_certificate_file is None or self.gateway_tls_key_file is None:
            raise ValueError(
                "HTTPS needs AUTOMESH_GATEWAY_TLS_CERTIFICATE_FILE and AUTOMESH_GATEWAY_TLS_KEY_FILE; `automesh up` "
                "makes both. On a loopback address AUTOMESH_GATEWAY_TLS=off serves plain HTTP"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
