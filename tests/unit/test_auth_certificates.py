"""Which certificate requests are signed, and what is in what is signed (X509-SVID)."""

import base64
import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from automesh.core.errors import PermissionDenied, ValidationError
from automesh.mesh.certificates import new_csr, new_key
from services.auth.domain.actor import Actor
from services.auth.domain.certificates import CertificateDesk, Chain, MeshNames
from services.auth.fakes.things import FakeClock, FakeIssuedKeys
from services.auth.pki.authority import FileAuthority
from services.auth.pki.init import initialise
from services.auth.pki.layout import LOCAL_HOSTS, Layout, Plan

OWN = "spiffe://automesh.local/ns/dev/sa/orchestrator"
LEAF = timedelta(hours=24)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
Build = x509.CertificateSigningRequestBuilder


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    initialise(Plan(layout=layout, trust_domain="automesh.local", environment="dev"), NOW)
    return layout


@pytest.fixture
def desk(layout: Layout) -> CertificateDesk:
    names = MeshNames(trust_domain="automesh.local", environment="dev", more_hosts={"control": LOCAL_HOSTS})
    return CertificateDesk(
        FileAuthority(layout),
        FakeIssuedKeys(),
        names,
        FakeClock(NOW),
        service_lifetime=LEAF,
        client_lifetime=timedelta(days=30),
    )


def person(tenant: str = "default") -> Actor:
    return Actor(subject="user_1", tenant_id=tenant, permissions=frozenset({"certificate.issue"}))


async def renew(desk: CertificateDesk, csr: bytes, service: str = "orchestrator") -> Chain:
    spiffe_id = f"spiffe://automesh.local/ns/dev/sa/{service}"
    return await desk.renew(spiffe_id, service, csr.decode())


def leaf(chain: Chain) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain.certificate_pem)[0]


def names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def csr(*general_names: x509.GeneralName, common_name: str = "", ca: bool | None = None) -> bytes:
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = Build().subject_name(x509.Name(subject))
    if general_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names), critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(new_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


uri, dns = x509.UniformResourceIdentifier, x509.DNSName


# ---------------------------------------------------------------- what is signed


async def test_a_request_without_names_gets_the_identity_of_the_caller(desk: CertificateDesk) -> None:
    chain = await renew(desk, new_csr(new_key()))
    assert chain.spiffe_id == OWN
    assert names(leaf(chain)).get_values_for_type(uri) == [OWN]
    assert names(leaf(chain)).get_values_for_type(dns) == ["orchestrator.automesh.local"]
    assert chain.expires_at == leaf(chain).not_valid_after_utc == NOW + LEAF


async def test_a_leaf_is_an_x509_svid(desk: CertificateDesk) -> None:
    extensions = leaf(await renew(desk, new_csr(new_key()))).extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign


async def test_a_chain_leads_to_a_root_of_the_bundle(desk: CertificateDesk) -> None:
    chain = await renew(desk, new_csr(new_key()))
    certificates = x509.load_pem_x509_certificates(chain.certificate_pem)
    [root] = x509.load_pem_x509_certificates(chain.bundle_pem)
    assert len(certificates) == 2
    certificates[0].verify_directly_issued_by(certificates[1])
    certificates[1].verify_directly_issued_by(root)
    assert chain.bundle_pem == desk.bundle_pem()


@pytest.mark.parametrize("common_name", ["", "orchestrator", OWN])
async def test_ones_own_names_may_be_asked_for(desk: CertificateDesk, common_name: str) -> None:
    request = csr(uri(OWN), dns("orchestrator.automesh.local"), common_name=common_name, ca=False)
    assert (await renew(desk, request)).spiffe_id == OWN


async def test_control_alone_keeps_the_names_it_is_dialled_by(desk: CertificateDesk) -> None:
    chain = await renew(desk, new_csr(new_key()), "control")
    assert names(leaf(chain)).get_values_for_type(dns) == ["control.automesh.local", "localhost"]
    assert [str(ip) for ip in names(leaf(chain)).get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


async def test_a_p384_key_is_good_too(desk: CertificateDesk) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    request = Build().subject_name(x509.Name([])).sign(key, hashes.SHA384()).public_bytes(Encoding.PEM)
    assert (await renew(desk, request)).spiffe_id == OWN


# ---------------------------------------------------------------- what is refused

FOREIGN: dict[str, Callable[[], bytes]] = {
    "another service": lambda: csr(uri("spiffe://automesh.local/ns/dev/sa/auth")),
    "another environment": lambda: csr(uri("spiffe://automesh.local/ns/prod/sa/orchestrator")),
    "another trust domain": lambda: csr(uri("spiffe://evil.local/ns/dev/sa/orchestrator")),
    "own and another": lambda: csr(uri(OWN), uri("spiffe://automesh.local/ns/dev/sa/auth")),
    "own twice": lambda: csr(uri(OWN), uri(OWN)),
    "another dns name": lambda: csr(dns("auth.automesh.local")),
    "localhost": lambda: csr(dns("localhost")),
    "wildcard": lambda: csr(dns("*.automesh.local")),
    "an address": lambda: csr(x509.IPAddress(ipaddress.ip_address("127.0.0.1"))),
    "e-mail": lambda: csr(x509.RFC822Name("root@automesh.local")),
    "a directory name": lambda: csr(x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "auth")]))),
    "an oid": lambda: csr(x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))),
    "an other name": lambda: csr(x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x04root")),
    "a foreign common name": lambda: csr(common_name="auth"),
    "a certificate authority": lambda: csr(uri(OWN), ca=True),
}


@pytest.mark.parametrize("what", FOREIGN)
async def test_a_request_for_anything_but_ones_own_names_is_refused(desk: CertificateDesk, what: str) -> None:
    with pytest.raises(ValidationError) as caught:
        await renew(desk, FOREIGN[what]())
    assert caught.value.violations[0].field == "csr_pem"


async def test_a_certificate_that_may_only_serve_one_name_does_not_lend_control_names(desk: CertificateDesk) -> None:
    with pytest.raises(ValidationError, match="localhost"):
        await renew(desk, csr(dns("localhost")), "gateway")


def signed_with(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Build().subject_name(x509.Name([])).sign(key, algorithm).public_bytes(Encoding.PEM)


WEAK: dict[str, Callable[[], bytes]] = {
    "rsa 1024": lambda: signed_with(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - weak on purpose
    "p-521": lambda: signed_with(ec.generate_private_key(ec.SECP521R1())),
    "secp256k1": lambda: signed_with(ec.generate_private_key(ec.SECP256K1())),
    "p-192": lambda: signed_with(ec.generate_private_key(ec.SECP224R1())),
    "ed25519": lambda: signed_with(ed25519.Ed25519PrivateKey.generate()),
}


@pytest.mark.parametrize("what", WEAK)
async def test_a_key_that_is_weak_or_unusual_is_refused(desk: CertificateDesk, what: str) -> None:
    with pytest.raises(ValidationError, match="P-256 or P-384"):
        await renew(desk, WEAK[what]())


def tampered() -> bytes:
    der = bytearray(x509.load_pem_x509_csr(csr(uri(OWN))).public_bytes(Encoding.DER))
    der[-5] ^= 1
    return pem(bytes(der))


def someone_elses_key() -> bytes:
    """A request whose public key was replaced: the sender does not hold its private half."""
    der = x509.load_pem_x509_csr(new_csr(key := new_key())).public_bytes(Encoding.DER)
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return pem(der.replace(key.public_key().public_bytes(*form), new_key().public_key().public_bytes(*form)))


def trailing() -> bytes:
    return pem(x509.load_pem_x509_csr(csr(uri(OWN))).public_bytes(Encoding.DER) + b"trailing")


def rewritten(old: bytes, new: bytes) -> bytes:
    """A well-signed request that the library would not make: `old` in its body became `new` before signing."""
    key = new_key()
    builder = Build().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName([uri(OWN)]), critical=False)
    builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), b"\x30\x00"), False)
    body = builder.sign(key, hashes.SHA256()).tbs_certrequest_bytes
    assert body.count(old) == 1
    body = body.replace(old, new)
    signature = b"\x00" + key.sign(body, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    whole = body + algorithm + bytes([0x03, len(signature)]) + signature
    return pem(b"\x30\x82" + len(whole).to_bytes(2, "big") + whole)


def doubled_extension() -> bytes:
    return rewritten(bytes.fromhex("0603551d63"), bytes.fromhex("0603551d11"))


def unknown_kind_of_name() -> bytes:
    """An x400Address, which nobody uses and few libraries read."""
    return rewritten(b"\x86" + bytes([len(OWN)]) + OWN.encode(), b"\xa3" + bytes([len(OWN)]) + OWN.encode())


def pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    "request_pem",
    [
        pytest.param(lambda: b"", id="nothing"),
        pytest.param(lambda: b"hello", id="no pem"),
        pytest.param(lambda: pem(b"not der"), id="no der"),
        pytest.param(lambda: new_csr(new_key())[:-80], id="cut"),
        pytest.param(lambda: b"x" * 17_000, id="too long"),
        pytest.param(tampered, id="tampered"),
        pytest.param(someone_elses_key, id="no proof of possession"),
        pytest.param(trailing, id="trailing bytes"),
        pytest.param(doubled_extension, id="two lists of names"),
        pytest.param(unknown_kind_of_name, id="unknown kind of name"),
    ],
)
async def test_what_is_no_sound_request_is_refused(desk: CertificateDesk, request_pem: Callable[[], bytes]) -> None:
    with pytest.raises(ValidationError) as caught:
        await renew(desk, request_pem())
    assert caught.value.violations[0].field == "csr_pem"


async def test_a_key_is_certified_only_once(desk: CertificateDesk) -> None:
    key = new_key()
    await renew(desk, new_csr(key))
    with pytest.raises(ValidationError, match="certified before"):
        await renew(desk, new_csr(key))


async def test_the_key_in_use_is_not_certified_again(desk: CertificateDesk, layout: Layout) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    folder = layout.identity("orchestrator")
    key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    shown = (folder / "cert.pem").read_bytes()
    with pytest.raises(ValidationError, match="certified before"):
        await desk.renew(OWN, "orchestrator", new_csr(key).decode(), shown_pem=shown)


@pytest.mark.parametrize("which", ["issuer.key", "root.key"])
async def test_a_key_of_the_authority_itself_is_refused(desk: CertificateDesk, layout: Layout, which: str) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key((layout.pki / which).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    with pytest.raises(ValidationError, match="authority itself"):
        await renew(desk, new_csr(key))


async def test_a_client_cannot_renew_itself_for_ever(desk: CertificateDesk) -> None:
    with pytest.raises(PermissionDenied):
        await desk.renew("spiffe://automesh.local/ns/dev/client/ann", "", new_csr(new_key()).decode())


async def test_an_identity_of_another_environment_is_refused(desk: CertificateDesk) -> None:
    with pytest.raises(PermissionDenied):
        await desk.renew("spiffe://automesh.local/ns/prod/sa/agent", "agent", new_csr(new_key()).decode())


# ---------------------------------------------------------------- clients


async def test_a_client_certificate_names_the_client_and_lives_a_day_at_most(desk: CertificateDesk) -> None:
    chain = await desk.issue_client(person(), "ann-laptop", new_csr(new_key()).decode())
    assert chain.spiffe_id == "spiffe://automesh.local/ns/dev/client/ann-laptop"
    assert names(leaf(chain)).get_values_for_type(uri) == [chain.spiffe_id]
    assert names(leaf(chain)).get_values_for_type(dns) == []
    assert chain.expires_at == NOW + timedelta(hours=24)


async def test_a_client_may_carry_its_name_as_common_name(desk: CertificateDesk) -> None:
    assert (await desk.issue_client(person(), "ann", csr(common_name="ann").decode())).spiffe_id.endswith("/client/ann")


async def test_nobody_gets_the_client_name_of_another_tenant(desk: CertificateDesk) -> None:
    issued = {
        (tenant, name): (await desk.issue_client(person(tenant), name, new_csr(new_key()).decode())).spiffe_id
        for tenant in ("default", "a", "a-b", "ann")
        for name in ("ann", "b-ann", "a-b")
    }
    assert len(set(issued.values())) == len(issued)
    assert issued["a-b", "ann"].endswith("/client/a-b--ann")


@pytest.mark.parametrize("name", ["", "Ann", "ann.b", "acme--ann", "-ann", "ann-", "a/b", "ann\n", "a" * 65, "änn"])
async def test_a_client_name_that_cannot_be_is_refused(desk: CertificateDesk, name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        await desk.issue_client(person(), name, new_csr(new_key()).decode())
    assert caught.value.violations[0].field == "name"


async def test_tenant_and_name_must_fit_together(desk: CertificateDesk) -> None:
    with pytest.raises(ValidationError, match="shorter name"):
        await desk.issue_client(person("a" * 31), "b" * 40, new_csr(new_key()).decode())


async def test_a_client_cannot_ask_for_the_name_of_a_service(desk: CertificateDesk) -> None:
    with pytest.raises(ValidationError):
        await desk.issue_client(person(), "auth", csr(uri("spiffe://automesh.local/ns/dev/sa/auth")).decode())
