"""The authority's key at work: reads requests, signs certificates, follows its files when `init` renewed them."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from automesh.mesh.certificates import Issuer, read_csr
from services.auth.domain.certificates import Chain, Names, SigningRequest
from services.auth.pki import folder
from services.auth.pki.folder import PkiError
from services.auth.pki.layout import Layout


@dataclass(frozen=True, slots=True)
class _Loaded:
    stamp: tuple[int, ...]
    issuer: Issuer
    bundle_pem: bytes
    own_keys: frozenset[bytes]


class FileAuthority:
    """A services.auth.domain.certificates.Authority over the files that `init` made. Needs no root key."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._loaded = self._load()

    def read(self, csr_pem: str) -> SigningRequest:
        csr = read_csr(csr_pem)
        return SigningRequest(
            csr_pem=csr_pem,
            key_digest=key_digest(csr.public_key),
            uris=csr.uris,
            dns_names=csr.dns_names,
            other_names=csr.other_names,
            wants_ca=csr.wants_ca,
        )

    def sign(self, request: SigningRequest, names: Names, *, lifetime: timedelta, now: datetime) -> Chain:
        current = self._current()
        if now >= current.issuer.certificate.not_valid_after_utc:
            raise PkiError(
                "the issuing certificate has expired: run `python -m services.auth init` where the root key is"
            )
        leaf = current.issuer.issue(
            read_csr(request.csr_pem).public_key,
            spiffe_id=names.spiffe_id,
            dns=names.dns,
            ips=names.ips,
            lifetime=lifetime,
            now=now,
        )
        return Chain(
            certificate_pem=current.issuer.chain_pem(leaf),
            bundle_pem=current.bundle_pem,
            expires_at=leaf.not_valid_after_utc,
            spiffe_id=names.spiffe_id,
        )

    def holds(self, key_digest: bytes) -> bool:
        return key_digest in self._current().own_keys

    def key_digest(self, certificate_pem: bytes) -> bytes:
        return key_digest(x509.load_pem_x509_certificate(certificate_pem).public_key())

    def bundle_pem(self) -> bytes:
        return self._current().bundle_pem

    def _current(self) -> _Loaded:
        if self._stamp() != self._loaded.stamp:
            with suppress(PkiError):  # between two steps of `init`: what is loaded still serves
                self._loaded = self._load()
        return self._loaded

    def _stamp(self) -> tuple[int, ...]:
        try:
            return tuple(path.stat().st_mtime_ns for path in (*self._layout.issuer, self._layout.bundle))
        except FileNotFoundError:
            return ()

    def _load(self) -> _Loaded:
        stamp = self._stamp()
        issuer = folder.read_issuer(*self._layout.issuer)
        roots = folder.read_chain(self._layout.bundle)
        if issuer is None or not roots:
            raise PkiError(
                f"there is no certificate authority in {self._layout.pki}: first run "
                f"`python -m services.auth init --state-dir {self._layout.state}`"
            )
        own = frozenset(key_digest(certificate.public_key()) for certificate in (issuer.certificate, *roots))
        return _Loaded(stamp, issuer, self._layout.bundle.read_bytes(), own)


def key_digest(key: CertificatePublicKeyTypes) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
