"""X.509 for the mesh: keys, requests, and issuers that sign SPIFFE certificates (X509-SVID). No I/O, no policy."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from automesh.core.errors import ValidationError

BACKDATED = timedelta(minutes=1)
"""Certificates are valid from a little before now, so that a clock that is slightly behind accepts them."""
_CURVES = (ec.SECP256R1, ec.SECP384R1)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, not encrypted: the file's mode protects it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def to_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """The certificates one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def new_csr(key: ec.EllipticCurvePrivateKey, *, spiffe_id: str = "") -> bytes:
    """A PKCS #10 request, PEM; without a name unless one is given (the CA knows whom it talks to)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if spiffe_id:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)])
        builder = builder.add_extension(names, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class Csr:
    """A request whose proof of possession was checked: its key, and every name it asks for."""

    public_key: ec.EllipticCurvePublicKey
    uris: tuple[str, ...]
    dns_names: tuple[str, ...]
    other_names: tuple[str, ...]
    wants_ca: bool


def read_csr(pem: str | bytes) -> Csr:
    """Reads a PEM request. Raises ValidationError for what is no request, badly signed, or has a weak key."""
    raw = pem.encode() if isinstance(pem, str) else pem
    try:
        request = x509.load_pem_x509_csr(raw)
        valid = request.is_signature_valid
        key = request.public_key()
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise _bad("csr_pem is not a PKCS #10 certificate request in PEM") from error
    if not valid:
        raise _bad("csr_pem is not signed by its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise _bad("csr_pem must hold a P-256 or P-384 key")
    names = _alternative_names(request)
    return Csr(
        public_key=key,
        uris=tuple(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)),
        dns_names=tuple(name.value for name in names if isinstance(name, x509.DNSName)),
        other_names=tuple(
            str(name.value) for name in names if not isinstance(name, x509.UniformResourceIdentifier | x509.DNSName)
        )
        + tuple(attribute.rfc4514_string() for attribute in request.subject),
        wants_ca=_wants_ca(request),
    )


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate that may sign others, its key, and the certificates between it and the root (none for a root)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    between: tuple[x509.Certificate, ...] = ()

    def issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        *,
        spiffe_id: str = "",
        more_uris: Sequence[str] = (),
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        lifetime: timedelta,
        now: datetime,
    ) -> x509.Certificate:
        """A leaf: no CA, digital signature only, for both ends of TLS. It never outlives its issuer.

        `more_uris` makes a certificate that the mesh must refuse (X509-SVID section 2); only tests use it.
        """
        uris = [spiffe_id, *more_uris] if spiffe_id else []
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(name) for name in dns]
        names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
        builder = (
            _builder(
                common_name="automesh",
                issuer=self.certificate.subject,
                public_key=public_key,
                lifetime=lifetime,
                now=now,
                latest=self.certificate.not_valid_after_utc,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_authority(self.certificate), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())

    def chain_pem(self, leaf: x509.Certificate) -> bytes:
        """The leaf and everything up to, but without, the root."""
        return to_pem([leaf, *self.between])


def new_root(name: str, *, lifetime: timedelta, now: datetime) -> Issuer:
    """A self-signed root."""
    key = new_key()
    return Issuer(_sign_ca(name, key, lifetime=lifetime, now=now), key)


def new_intermediate(root: Issuer, name: str, *, lifetime: timedelta, now: datetime) -> Issuer:
    """An issuer below `root`, which can then be taken offline."""
    key = new_key()
    certificate = _sign_ca(name, key, lifetime=lifetime, now=now, root=root)
    return Issuer(certificate, key, (certificate, *root.between))


def _sign_ca(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    lifetime: timedelta,
    now: datetime,
    root: Issuer | None = None,
) -> x509.Certificate:
    parent = root.certificate if root else None
    builder = (
        _builder(
            common_name=name,
            issuer=parent.subject if parent else _named(name),
            public_key=key.public_key(),
            lifetime=lifetime,
            now=now,
            latest=parent.not_valid_after_utc if parent else now + lifetime,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if root else 1), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if parent is not None:
        builder = builder.add_extension(_authority(parent), critical=False)
    return builder.sign(root.key if root else key, hashes.SHA256())


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    *,
    common_name: str,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    lifetime: timedelta,
    now: datetime,
    latest: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_named(common_name))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + lifetime, latest))
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _alternative_names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise _bad("csr_pem holds extensions that cannot be read") from error


def _wants_ca(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _bad(message: str) -> ValidationError:
    return ValidationError(message, field="csr_pem")
