"""The certificate that browsers see at the gateway, under a CA of its own.

It is not chained to the mesh's root, so nobody can use it in the mesh; and that CA is constrained to the gateway's
names, so whoever trusts it in a browser trusts it for nothing else.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from automesh.mesh.certificates import BACKDATED, Issuer, key_to_pem, new_key, to_pem
from services.auth.pki import folder
from services.auth.pki.layout import DAY, Plan

log = structlog.get_logger()

CA_LIFETIME = 3650 * DAY
Hosts = tuple[tuple[str, ...], tuple[str, ...]]


def ensure_web(plan: Plan, now: datetime) -> None:
    """Keeps ca.pem, cert.pem and key.pem below `web` valid and for the right hosts. Call it with the folder locked."""
    ca_files = plan.layout.web / "ca.pem", plan.layout.web / "ca.key"
    ca = folder.read_issuer(*ca_files)
    if ca is None or not _is_fresh(ca.certificate, now) or _permitted(ca.certificate) != _host_names(plan.web_hosts):
        ca = _new_ca(plan.web_hosts, now)
        folder.write_issuer(*ca_files, ca)
        log.info("web authority made", until=ca.certificate.not_valid_after_utc.isoformat())
    files = plan.layout.web / "cert.pem", plan.layout.web / "key.pem"
    current = folder.read_issuer(*files)
    if current is None or not _is_fresh(current.certificate, now) or not _issued_by(current.certificate, ca):
        _write_certificate(plan, ca, now)


def _write_certificate(plan: Plan, ca: Issuer, now: datetime) -> None:
    key = new_key()
    leaf = (
        _builder("automesh gateway", ca.certificate.subject, key.public_key(), now)
        .not_valid_after(min(now + plan.lifetimes.web, ca.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_host_names(plan.web_hosts)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    folder.write(plan.layout.web / "key.pem", key_to_pem(key))
    folder.write(plan.layout.web / "cert.pem", to_pem([leaf]), mode=0o644)
    log.info("web certificate made", until=leaf.not_valid_after_utc.isoformat())


def _new_ca(hosts: Hosts, now: datetime) -> Issuer:
    key = new_key()
    name = f"automesh gateway CA {now:%Y-%m-%d}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=False,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, subject, key.public_key(), now)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints(_constraints(hosts), None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issuer(certificate, key)


def _builder(
    common_name: str, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
    )


def _host_names(hosts: Hosts) -> list[x509.GeneralName]:
    dns, ips = hosts
    return [*map(x509.DNSName, dns), *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips)]


def _constraints(hosts: Hosts) -> list[x509.GeneralName]:
    dns, ips = hosts
    return [*map(x509.DNSName, dns), *(x509.IPAddress(ipaddress.ip_network(ip)) for ip in ips)]


def _permitted(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """The hosts a CA is constrained to, in the form of `_host_names`."""
    try:
        subtrees = certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
    except x509.ExtensionNotFound:
        return []
    names: list[x509.GeneralName] = []
    for name in subtrees or []:
        network = name.value
        is_network = isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network)
        names.append(x509.IPAddress(network.network_address) if is_network else name)
    return names


def _is_fresh(certificate: x509.Certificate, now: datetime) -> bool:
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return starts <= now < starts + (ends - starts) / 2


def _issued_by(certificate: x509.Certificate, ca: Issuer) -> bool:
    expected = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    try:
        return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value == expected
    except x509.ExtensionNotFound:
        return False
