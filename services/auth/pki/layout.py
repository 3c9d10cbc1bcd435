"""Where things lie below the state folder, and how long they live."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from services.auth.domain.certificates import MeshNames

DAY = timedelta(days=1)
SERVICES = ("control", "auth", "orchestrator", "data", "doc", "model", "agent", "gateway")
"""Those that get a first certificate; later ones come from CertificateService.RenewCertificate."""
LOCAL_HOSTS = (("localhost",), ("127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """Each is renewed once half of it is over."""

    root: timedelta = 3650 * DAY
    issuer: timedelta = 90 * DAY
    leaf: timedelta = DAY
    web: timedelta = 365 * DAY


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the state folder."""

    state: Path

    @property
    def pki(self) -> Path:
        """The authority itself."""
        return self.state / "pki"

    @property
    def root(self) -> tuple[Path, Path]:
        """Certificate and key of the root. The key is needed to renew the issuer only: keep it elsewhere."""
        return self.pki / "root.pem", self.pki / "root.key"

    @property
    def issuer(self) -> tuple[Path, Path]:
        """Certificate and key of the issuing intermediate."""
        return self.pki / "issuer.pem", self.pki / "issuer.key"

    @property
    def bundle(self) -> Path:
        """All roots to trust."""
        return self.pki / "bundle.pem"

    @property
    def web(self) -> Path:
        """What browsers see of the gateway; nothing in it is trusted by the mesh."""
        return self.state / "web"

    @property
    def keyring(self) -> Path:
        """The keys that seal secrets in databases and blobs."""
        return self.state / "secrets" / "keyring.json"

    @property
    def admin_password(self) -> Path:
        """The first admin's password, or the one of `reset-admin`."""
        return self.state / "secrets" / "admin_password"

    def identity(self, service: str) -> Path:
        """The folder with a service's cert.pem, key.pem and bundle.pem."""
        return self.state / "identities" / service


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `init` makes."""

    layout: Layout
    trust_domain: str
    environment: str
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    keyring: Path | None = None  # None: where the layout says
    services: tuple[str, ...] = SERVICES
    control_hosts: tuple[tuple[str, ...], tuple[str, ...]] = LOCAL_HOSTS  # DNS names, IPs
    web_hosts: tuple[tuple[str, ...], tuple[str, ...]] = LOCAL_HOSTS

    @property
    def names(self) -> MeshNames:
        """The names in certificates."""
        return MeshNames(
            trust_domain=self.trust_domain, environment=self.environment, more_hosts={"control": self.control_hosts}
        )
