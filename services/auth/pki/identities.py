"""First certificates: a process needs one before it can ask auth for its next."""

from __future__ import annotations

from datetime import datetime

import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from automesh.mesh.certificates import Issuer, key_to_pem, new_key
from automesh.mesh.identity import BadIdentity, Identity, IdentityFiles
from services.auth.pki.folder import make_private
from services.auth.pki.layout import Plan

log = structlog.get_logger()


def ensure_identity(plan: Plan, service: str, issuer: Issuer, now: datetime) -> None:
    """Writes the identity of a service unless a good one is there, with more than half of its life left."""
    files = IdentityFiles(plan.layout.identity(service))
    names = plan.names.service(service)
    bundle = plan.layout.bundle.read_bytes()
    if _is_good(files, names.spiffe_id, issuer, bundle, now):
        return
    make_private(files.folder)
    key = new_key()
    leaf = issuer.issue(
        key.public_key(),
        spiffe_id=names.spiffe_id,
        dns=names.dns,
        ips=names.ips,
        lifetime=plan.lifetimes.leaf,
        now=now,
    )
    files.store(Identity(issuer.chain_pem(leaf), key_to_pem(key), bundle))
    log.info("identity made", spiffe_id=names.spiffe_id, until=leaf.not_valid_after_utc.isoformat())


def _is_good(files: IdentityFiles, spiffe_id: str, issuer: Issuer, bundle: bytes, now: datetime) -> bool:
    try:
        identity = files.load()
        if str(identity.spiffe_id) != spiffe_id:
            return False
    except BadIdentity:
        return False
    starts, ends = identity.validity
    chain = identity.certificate_pem.strip().endswith(issuer.certificate.public_bytes(Encoding.PEM).strip())
    return chain and identity.bundle_pem == bundle and starts <= now < starts + (ends - starts) / 2
