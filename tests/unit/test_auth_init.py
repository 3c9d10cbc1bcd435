"""What `init` makes, what it leaves alone, and what it renews."""

import os
import ssl
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from automesh.core.errors import ValidationError
from automesh.mesh.certificates import new_csr, new_key
from automesh.mesh.identity import IdentityFiles
from automesh.storage.keyring import KeyringError
from services.auth.domain.certificates import MeshNames
from services.auth.pki.authority import FileAuthority
from services.auth.pki.folder import PkiError
from services.auth.pki.hosts import parse_hosts
from services.auth.pki.init import initialise
from services.auth.pki.layout import SERVICES, Layout, Lifetimes, Plan

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def plan(folder: Path, **more: object) -> Plan:
    settings = {"layout": Layout(folder), "trust_domain": "automesh.local", "environment": "dev", **more}
    return Plan(**settings)  # type: ignore[arg-type]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    initialise(plan(tmp_path / "state"), NOW)
    return tmp_path / "state"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def first(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def verifies(leaf_file: Path, roots: Path) -> bool:
    """Asks OpenSSL, through Python's ssl, over a handshake in memory."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(roots))
    server.load_cert_chain(leaf_file, leaf_file.with_name("key.pem"))
    a_in, a_out, b_in, b_out = (ssl.MemoryBIO() for _ in range(4))
    accepting = server.wrap_bio(a_in, a_out, server_side=True)
    calling = client.wrap_bio(b_in, b_out, server_hostname="localhost")
    for _ in range(10):
        for side in (calling, accepting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError:
                return False
        a_in.write(b_out.read())
        b_in.write(a_out.read())
    return calling.version() is not None and accepting.version() is not None


# ---------------------------------------------------------------- what is made


def test_every_service_gets_an_identity_with_one_uri_and_its_dns_name(state: Path) -> None:
    for service in SERVICES:
        identity = IdentityFiles(state / "identities" / service).load()
        assert str(identity.spiffe_id) == f"spiffe://automesh.local/ns/dev/sa/{service}"
        names = identity.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = ["localhost"] if service == "control" else []
        assert names.get_values_for_type(x509.DNSName) == [f"{service}.automesh.local", *hosts]
        assert identity.bundle_pem == (state / "pki" / "bundle.pem").read_bytes()


def test_the_issuer_stands_below_the_root_and_signs_leaves_alone(state: Path) -> None:
    root, issuer = first(state / "pki" / "root.pem"), first(state / "pki" / "issuer.pem")
    issuer.verify_directly_issued_by(root)
    assert issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert issuer.not_valid_after_utc == NOW + 90 * DAY
    chain = x509.load_pem_x509_certificates((state / "identities" / "auth" / "cert.pem").read_bytes())
    assert chain[1:] == [issuer]


def test_keys_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        initialise(plan(tmp_path / "state"), NOW)
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    keys = [path for path in files if path.name in ("key.pem", "root.key", "issuer.key", "ca.key", "keyring.json")]
    assert len({path.resolve() for path in keys}) == len(SERVICES) + 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    folders = [path for path in (tmp_path / "state", *(tmp_path / "state").rglob("*")) if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_browsers_get_a_certificate_that_the_mesh_does_not_know(state: Path) -> None:
    assert verifies(state / "web" / "cert.pem", state / "web" / "ca.pem")
    assert not verifies(state / "web" / "cert.pem", state / "pki" / "bundle.pem")
    assert not verifies(state / "identities" / "control" / "cert.pem", state / "web" / "ca.pem")
    names = first(state / "web" / "cert.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == []
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_the_web_authority_can_vouch_for_the_gateways_names_alone(state: Path) -> None:
    constraints = first(state / "web" / "ca.pem").extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert {str(name.value) for name in constraints.value.permitted_subtrees or ()} == {
        "localhost",
        "127.0.0.1/32",
        "::1/128",
    }


def test_other_web_hosts_get_another_authority(state: Path) -> None:
    initialise(plan(state, web_hosts=(("mesh.example.org",), ("10.0.0.7",))), NOW)
    names = first(state / "web" / "cert.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mesh.example.org"]
    first(state / "web" / "cert.pem").verify_directly_issued_by(first(state / "web" / "ca.pem"))


# ---------------------------------------------------------------- what stays


def test_a_second_init_changes_nothing(state: Path) -> None:
    before = contents(state)
    initialise(plan(state), NOW + timedelta(hours=1))
    assert contents(state) == before


def test_a_lost_keyring_is_asked_for_and_not_made_anew(state: Path) -> None:
    keyring = state / "secrets" / "keyring.json"
    keyring.unlink()
    with pytest.raises(KeyringError, match="Put it back"):
        initialise(plan(state), NOW)
    assert not keyring.exists()


def test_a_damaged_keyring_is_never_replaced(state: Path) -> None:
    keyring = state / "secrets" / "keyring.json"
    keyring.write_text("{}")
    with pytest.raises(KeyringError):
        initialise(plan(state), NOW)
    assert keyring.read_text() == "{}"


def test_the_root_key_may_be_away(state: Path) -> None:
    (state / "pki" / "root.key").unlink()
    before = contents(state / "pki")
    initialise(plan(state), NOW + 2 * DAY)
    assert contents(state / "pki") == before
    assert IdentityFiles(state / "identities" / "agent").load().validity[1] == NOW + 3 * DAY
    FileAuthority(Layout(state))


def test_an_issuer_past_its_half_waits_for_the_root_key_as_long_as_it_is_valid(state: Path) -> None:
    (state / "pki" / "root.key").unlink()
    before = contents(state / "pki")
    initialise(plan(state), NOW + 60 * DAY)
    assert contents(state / "pki") == before
    with pytest.raises(PkiError, match=r"root\.key: bring it back"):
        initialise(plan(state), NOW + 91 * DAY)


# ---------------------------------------------------------------- what is renewed


def test_leaves_past_their_half_are_renewed(state: Path) -> None:
    before = contents(state)
    initialise(plan(state), NOW + timedelta(hours=13))
    after = contents(state)
    assert {name for name in before if before[name] != after[name]} == {
        f"identities/{service}/{name}" for service in SERVICES for name in ("cert.pem", "key.pem")
    } | {name for name in before if "/current/" in name and not name.endswith("bundle.pem")}


def test_a_missing_or_foreign_identity_is_made_again(state: Path) -> None:
    (state / "identities" / "agent" / "cert.pem").unlink()
    gateway = IdentityFiles(state / "identities" / "gateway")
    gateway.store(IdentityFiles(state / "identities" / "auth").load())
    initialise(plan(state), NOW)
    assert IdentityFiles(state / "identities" / "agent").load().spiffe_id.service == "agent"
    assert gateway.load().spiffe_id.service == "gateway"


def test_an_issuer_past_its_half_is_renewed_below_the_same_root(state: Path) -> None:
    root, bundle, old = (state / "pki" / name for name in ("root.pem", "bundle.pem", "issuer.pem"))
    before = root.read_bytes(), bundle.read_bytes()
    old_issuer = first(old)
    initialise(plan(state), NOW + 46 * DAY)
    assert (root.read_bytes(), bundle.read_bytes()) == before
    assert first(old) != old_issuer
    first(old).verify_directly_issued_by(first(root))
    first(state / "identities" / "auth" / "cert.pem").verify_directly_issued_by(first(old))


def test_a_new_root_is_trusted_before_it_signs_and_the_old_one_stays_trusted(tmp_path: Path) -> None:
    short = plan(tmp_path, lifetimes=Lifetimes(root=100 * DAY, issuer=90 * DAY))
    initialise(short, NOW)
    old_root, old_issuer = first(tmp_path / "pki" / "root.pem"), first(tmp_path / "pki" / "issuer.pem")
    initialise(plan(tmp_path, lifetimes=Lifetimes(root=100 * DAY, issuer=120 * DAY)), NOW + 44 * DAY)
    assert first(tmp_path / "pki" / "issuer.pem") == old_issuer
    initialise(short, NOW + 51 * DAY)
    roots = x509.load_pem_x509_certificates((tmp_path / "pki" / "bundle.pem").read_bytes())
    new_root = first(tmp_path / "pki" / "root.pem")
    assert new_root != old_root
    assert roots == [old_root, new_root]
    assert (
        IdentityFiles(tmp_path / "identities" / "agent").load().bundle_pem
        == (tmp_path / "pki" / "bundle.pem").read_bytes()
    )


def test_a_root_that_is_over_leaves_the_bundle(tmp_path: Path) -> None:
    short = plan(tmp_path, lifetimes=Lifetimes(root=100 * DAY, issuer=90 * DAY))
    initialise(short, NOW)
    initialise(short, NOW + 51 * DAY)
    initialise(short, NOW + 101 * DAY)
    roots = x509.load_pem_x509_certificates((tmp_path / "pki" / "bundle.pem").read_bytes())
    assert all(root.not_valid_after_utc > NOW + 101 * DAY for root in roots)
    first(tmp_path / "pki" / "issuer.pem").verify_directly_issued_by(roots[-1])


def test_leaves_may_live_for_seconds(tmp_path: Path) -> None:
    initialise(plan(tmp_path, lifetimes=Lifetimes(leaf=timedelta(seconds=3))), NOW)
    assert IdentityFiles(tmp_path / "identities" / "auth").load().validity[1] == NOW + timedelta(seconds=3)


# ---------------------------------------------------------------- the authority at work


def test_without_init_the_authority_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="init --state-dir"):
        FileAuthority(Layout(tmp_path))


def test_the_authority_follows_a_renewed_issuer_without_a_restart(state: Path) -> None:
    authority = FileAuthority(Layout(state))
    initialise(plan(state), NOW + 46 * DAY)
    names = MeshNames(trust_domain="automesh.local", environment="dev", more_hosts={}).service("agent")
    request = authority.read(new_csr(new_key()).decode())
    chain = authority.sign(request, names, lifetime=DAY, now=NOW + 46 * DAY)
    issuer = first(state / "pki" / "issuer.pem")
    assert x509.load_pem_x509_certificates(chain.certificate_pem)[1:] == [issuer]


def test_a_torn_issuer_keeps_the_one_that_was_loaded(state: Path) -> None:
    authority = FileAuthority(Layout(state))
    (state / "pki" / "issuer.pem").write_text("half a certificate")
    names = MeshNames(trust_domain="automesh.local", environment="dev", more_hosts={}).service("agent")
    assert authority.sign(authority.read(new_csr(new_key()).decode()), names, lifetime=DAY, now=NOW).spiffe_id


def test_an_expired_issuer_signs_nothing(state: Path) -> None:
    authority = FileAuthority(Layout(state))
    names = MeshNames(trust_domain="automesh.local", environment="dev", more_hosts={}).service("agent")
    request = authority.read(new_csr(new_key()).decode())
    with pytest.raises(PkiError, match="has expired"):
        authority.sign(request, names, lifetime=DAY, now=NOW + 90 * DAY)


# ---------------------------------------------------------------- the command


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.auth", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_makes_everything(tmp_path: Path) -> None:
    options = ("--trust-domain", "acme.test", "--environment", "prod", "--leaf-lifetime-s", "60", "--service", "agent")
    done = command("init", "--state-dir", str(tmp_path / "s"), *options)
    assert done.returncode == 0
    assert "identity made" in done.stderr  # the log; standard output stays free
    assert done.stdout == ""
    identity = IdentityFiles(tmp_path / "s" / "identities" / "agent").load()
    assert str(identity.spiffe_id) == "spiffe://acme.test/ns/prod/sa/agent"
    assert not (tmp_path / "s" / "identities" / "auth").exists()


def test_the_command_says_what_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command("init", "--state-dir", str(tmp_path / "file" / "state"))
    assert done.returncode == 78
    assert "cannot make" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_that_is_missing_is_named() -> None:
    done = command("reset-admin")
    assert done.returncode == 78
    assert "AUTOMESH_POSTGRES_DSN: Field required" in done.stderr
    assert "Traceback" not in done.stderr


def test_hosts_are_sorted_into_names_and_addresses() -> None:
    assert parse_hosts("localhost, Mesh.Example.org ,10.0.0.7,::1,") == (
        ("localhost", "mesh.example.org"),
        ("10.0.0.7", "::1"),
    )
    with pytest.raises(ValidationError, match="no_host!"):
        parse_hosts("localhost,no_host!")
