"""A certificate authority to throw away: real certificates for tests, in a folder of the test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from automesh.mesh.certificates import key_to_pem, new_intermediate, new_key, new_root, to_pem
from automesh.mesh.identity import Identity, IdentityFiles, SpiffeId

DAY = timedelta(days=1)


class ThrowawayCa:
    """Root, issuing intermediate, and identities for services and clients below `folder`."""

    def __init__(self, folder: Path, *, trust_domain: str = "automesh.local", environment: str = "dev") -> None:
        now = datetime.now(UTC)
        self.folder, self.trust_domain, self.environment = folder, trust_domain, environment
        self.root = new_root("automesh test root", lifetime=30 * DAY, now=now)
        self.issuer = new_intermediate(self.root, "automesh test issuer", lifetime=15 * DAY, now=now)
        self.bundle = [self.root.certificate]

    @property
    def bundle_pem(self) -> bytes:
        """The roots that identities made from now on trust."""
        return to_pem(self.bundle)

    def service(self, service: str, *, lifetime: timedelta = DAY, folder: Path | None = None) -> IdentityFiles:
        """Writes (or replaces) the identity of a service. Control alone is also `localhost`, where it is dialled."""
        spiffe_id = SpiffeId.for_service(self.trust_domain, self.environment, service)
        local = (["localhost"], ["127.0.0.1", "::1"]) if service == "control" else ([], [])
        identity = self.identity([str(spiffe_id)], dns=[spiffe_id.dns_name, *local[0]], ips=local[1], lifetime=lifetime)
        return self._stored(folder or self.folder / "identities" / service, identity)

    def client(self, name: str, *, lifetime: timedelta = DAY) -> IdentityFiles:
        """Writes the identity of a person's tool."""
        spiffe_id = SpiffeId.for_client(self.trust_domain, self.environment, name)
        identity = self.identity([str(spiffe_id)], lifetime=lifetime)
        return self._stored(self.folder / "identities" / f"client-{name}", identity)

    def identity(
        self,
        uris: Sequence[str],
        *,
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        lifetime: timedelta = DAY,
        now: datetime | None = None,
    ) -> Identity:
        """Any certificate at all, also those that must be refused: more than one URI, none, expired."""
        key = new_key()
        leaf = self.issuer.issue(
            key.public_key(),
            spiffe_id=uris[0] if uris else "",
            more_uris=uris[1:],
            dns=dns,
            ips=ips,
            lifetime=lifetime,
            now=now or datetime.now(UTC),
        )
        return Identity(self.issuer.chain_pem(leaf), key_to_pem(key), self.bundle_pem)

    def rotate_root(self, *, keep_old: bool = True) -> None:
        """Goes on with a new root; with `keep_old` both are in the bundle."""
        now = datetime.now(UTC)
        self.root = new_root("automesh test root, next", lifetime=30 * DAY, now=now)
        self.issuer = new_intermediate(self.root, "automesh test issuer, next", lifetime=15 * DAY, now=now)
        self.bundle = [*(self.bundle if keep_old else []), self.root.certificate]

    @staticmethod
    def _stored(folder: Path, identity: Identity) -> IdentityFiles:
        files = IdentityFiles(folder)
        files.store(identity)
        return files
