"""SPIFFE ids of the mesh, and the files that hold a process's certificate."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from automesh.core.errors import AutomationError, Kind

CERTIFICATE, KEY, BUNDLE = "cert.pem", "key.pem", "bundle.pem"
_FILES = (CERTIFICATE, KEY, BUNDLE)
_NAME = r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?"
_SHAPE = re.compile(
    rf"spiffe://(?P<domain>[a-z0-9._-]+)/ns/(?P<environment>{_NAME})/(?P<kind>sa|client)/(?P<name>{_NAME})"
)


class BadIdentity(AutomationError):
    """A certificate, or the files around it, cannot be used."""

    kind = Kind.PRECONDITION
    reason = "BAD_IDENTITY"


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """`spiffe://<trust domain>/ns/<environment>/sa/<service>`, or `.../client/<name>` for a person's tool."""

    trust_domain: str
    environment: str
    kind: str
    name: str

    @classmethod
    def parse(cls, uri: str) -> SpiffeId:
        """Raises BadIdentity for anything that is not an id of this mesh's shape."""
        match = _SHAPE.fullmatch(uri)
        if match is None:
            raise BadIdentity(
                f"{uri!r} is not an id of the form spiffe://<domain>/ns/<environment>/sa/<service>", uri=uri
            )
        return cls(match["domain"], match["environment"], match["kind"], match["name"])

    @classmethod
    def for_service(cls, trust_domain: str, environment: str, service: str) -> SpiffeId:
        """The id of a service."""
        return cls.parse(f"spiffe://{trust_domain}/ns/{environment}/sa/{service}")

    @classmethod
    def for_client(cls, trust_domain: str, environment: str, name: str) -> SpiffeId:
        """The id of a person's tool: it opens TLS and has no rights of its own."""
        return cls.parse(f"spiffe://{trust_domain}/ns/{environment}/client/{name}")

    @property
    def service(self) -> str:
        """The service's name; empty for a client."""
        return self.name if self.kind == "sa" else ""

    @property
    def client(self) -> str:
        """The client's name; empty for a service."""
        return self.name if self.kind == "client" else ""

    @property
    def dns_name(self) -> str:
        """The DNS name in the same certificate, for channels that cannot check a URI."""
        return f"{self.name}.{self.trust_domain}" if self.kind == "sa" else f"{self.name}.client.{self.trust_domain}"

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.environment}/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate chain (leaf first), its key and the roots to trust, all PEM."""

    certificate_pem: bytes
    key_pem: bytes
    bundle_pem: bytes

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate of the process itself."""
        return x509.load_pem_x509_certificates(self.certificate_pem)[0]

    @property
    def spiffe_id(self) -> SpiffeId:
        """The one URI of the leaf. X509-SVID section 2: exactly one; anything else is refused."""
        try:
            names = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            raise BadIdentity("the certificate names no SPIFFE id") from None
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        if len(uris) != 1:
            raise BadIdentity(f"the certificate names {len(uris)} URIs, where a SPIFFE certificate has exactly one")
        return SpiffeId.parse(uris[0])

    @property
    def validity(self) -> tuple[datetime, datetime]:
        """Not before, not after."""
        return self.leaf.not_valid_before_utc, self.leaf.not_valid_after_utc


class IdentityFiles:
    """The folder with `cert.pem`, `key.pem` and `bundle.pem`, replaced together.

    The three names are links through one link `current`, so a reader never sees a key of one generation with a
    certificate of another (the way Kubernetes mounts secrets).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def certificate(self) -> Path:
        """Path of the chain, for programs that watch files."""
        return self.folder / CERTIFICATE

    @property
    def key(self) -> Path:
        """Path of the private key."""
        return self.folder / KEY

    @property
    def bundle(self) -> Path:
        """Path of the roots."""
        return self.folder / BUNDLE

    def generation(self) -> str:
        """Changes whenever the files were replaced; cheap enough for each TLS handshake."""
        current = self.folder / "current"
        if current.is_symlink():
            return os.readlink(current)
        return "-".join(str(path.stat().st_mtime_ns) for path in (self.certificate, self.key, self.bundle))

    def load(self) -> Identity:
        """Reads and checks the files. Raises BadIdentity that says what is missing or does not fit together."""
        contents = []
        for name in _FILES:
            try:
                contents.append((self.folder / name).read_bytes())
            except OSError as error:
                raise BadIdentity(
                    f"cannot read {self.folder / name}: {error.strerror}. `automesh up` makes identities here; "
                    "elsewhere set AUTOMESH_IDENTITY_DIR to the folder that holds cert.pem, key.pem and bundle.pem",
                    path=self.folder / name,
                ) from error
        identity = Identity(*contents)
        _check(identity, self.folder)
        return identity

    def store(self, identity: Identity) -> None:
        """Replaces all three files at once; keys are readable by the owner alone."""
        generation = self.folder / f".{secrets.token_hex(8)}"
        generation.mkdir(parents=True, mode=0o700)
        for name, content in zip(
            _FILES, (identity.certificate_pem, identity.key_pem, identity.bundle_pem), strict=True
        ):
            _write(generation / name, content)
        before = self.folder / "current"
        old = before.resolve() if before.is_symlink() else None
        _link(self.folder / "current", generation.name)
        for name in _FILES:
            if not (self.folder / name).is_symlink():
                _link(self.folder / name, f"current/{name}")
        if old is not None and old.parent == self.folder.resolve():
            shutil.rmtree(old, ignore_errors=True)


def _check(identity: Identity, folder: Path) -> None:
    try:
        leaf, key = identity.leaf, load_pem_private_key(identity.key_pem, None)
        x509.load_pem_x509_certificates(identity.bundle_pem)
    except ValueError as error:
        raise BadIdentity(f"{folder} holds something that is not PEM: {error}", path=folder) from error
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise BadIdentity(f"key.pem in {folder} is not the key of cert.pem", path=folder)


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _link(path: Path, target: str) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fresh.symlink_to(target)
    fresh.replace(path)
