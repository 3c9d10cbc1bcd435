"""SPIFFE ids, certificates and the files that hold them."""

import contextlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from automesh.mesh.auth_client import IssuedChain
from automesh.mesh.certificates import new_csr, new_intermediate, new_key, new_root, read_csr
from automesh.mesh.identity import BadIdentity, IdentityFiles, SpiffeId
from automesh.mesh.renewal import renew, renewal_time
from automesh.testing.ca import ThrowawayCa


def test_an_id_reads_back_as_it_was_written() -> None:
    spiffe_id = SpiffeId.for_service("automesh.local", "dev", "orchestrator")
    assert SpiffeId.parse(str(spiffe_id)) == spiffe_id
    assert (spiffe_id.service, spiffe_id.client, spiffe_id.dns_name) == (
        "orchestrator",
        "",
        "orchestrator.automesh.local",
    )


@pytest.mark.parametrize(
    "uri",
    ["", "https://x/ns/a/sa/b", "spiffe://x/ns/a/sa/", "spiffe://x/ns/a/sa/b/c", "spiffe://x/ns/A/sa/b", "spiffe://x"],
)
def test_what_is_no_id_of_ours_is_refused(uri: str) -> None:
    with pytest.raises(BadIdentity):
        SpiffeId.parse(uri)


@given(st.text(max_size=80))
def test_parsing_never_fails_in_another_way(text: str) -> None:
    with contextlib.suppress(BadIdentity):
        assert str(SpiffeId.parse(text)) == text


def test_stored_files_are_private_and_replaced_together(tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path)
    files = ca.service("agent")
    first = files.generation()
    assert os.stat(files.key).st_mode & 0o077 == 0
    ca.service("agent")
    assert files.generation() != first
    assert len([path for path in files.folder.iterdir() if path.is_dir() and not path.is_symlink()]) == 1
    assert files.load().spiffe_id.service == "agent"


def test_a_missing_file_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadIdentity, match="automesh up"):
        IdentityFiles(tmp_path / "none").load()


def test_a_key_of_another_certificate_is_noticed(tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path)
    mixed = IdentityFiles(tmp_path / "mixed")
    mixed.folder.mkdir()
    mine, other = ca.service("agent").load(), ca.service("auth").load()
    for name, content in (
        ("cert.pem", mine.certificate_pem),
        ("key.pem", other.key_pem),
        ("bundle.pem", mine.bundle_pem),
    ):
        (mixed.folder / name).write_bytes(content)
    with pytest.raises(BadIdentity, match="not the key"):
        mixed.load()


def test_two_uris_in_a_certificate_are_no_identity(tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path)
    two = ca.identity(["spiffe://automesh.local/ns/dev/sa/a", "spiffe://automesh.local/ns/dev/sa/b"])
    with pytest.raises(BadIdentity, match="exactly one"):
        _ = two.spiffe_id


def test_a_request_tells_which_names_it_wants() -> None:
    csr = read_csr(new_csr(new_key(), spiffe_id="spiffe://x/ns/dev/sa/agent"))
    assert csr.uris == ("spiffe://x/ns/dev/sa/agent",)
    assert not csr.wants_ca


@pytest.mark.parametrize(
    "pem", [b"", b"hello", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_what_is_no_request_is_refused(pem: bytes) -> None:
    with pytest.raises(ValidationError):
        read_csr(pem)


def test_a_request_with_an_rsa_key_is_refused() -> None:
    key = rsa.generate_private_key(65537, 2048)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(ValidationError, match="P-256"):
        read_csr(request.public_bytes(Encoding.PEM))


def test_a_leaf_never_outlives_its_issuer() -> None:
    now = datetime.now(UTC)
    root = new_root("r", lifetime=timedelta(days=2), now=now)
    issuer = new_intermediate(root, "i", lifetime=timedelta(days=1), now=now)
    leaf = issuer.issue(new_key().public_key(), spiffe_id="spiffe://x/ns/d/sa/a", lifetime=timedelta(days=9), now=now)
    assert leaf.not_valid_after_utc == issuer.certificate.not_valid_after_utc
    leaf.verify_directly_issued_by(issuer.certificate)
    issuer.certificate.verify_directly_issued_by(root.certificate)


def test_renewal_comes_around_half_of_the_life() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = {renewal_time(start, start + timedelta(hours=10)) for _ in range(50)}
    assert len(times) > 1
    assert all(timedelta(hours=4) <= time - start <= timedelta(hours=6) for time in times)


async def test_renewal_replaces_key_and_certificate(tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path)
    files = ca.service("agent")
    before = files.load()

    async def issue(csr_pem: bytes) -> IssuedChain:
        csr = read_csr(csr_pem)
        spiffe_id = "spiffe://automesh.local/ns/dev/sa/agent"
        leaf = ca.issuer.issue(csr.public_key, spiffe_id=spiffe_id, lifetime=timedelta(hours=1), now=datetime.now(UTC))
        return IssuedChain(ca.issuer.chain_pem(leaf), ca.bundle_pem)

    await renew(files, issue)
    after = files.load()
    assert after.key_pem != before.key_pem
    assert after.spiffe_id == before.spiffe_id
