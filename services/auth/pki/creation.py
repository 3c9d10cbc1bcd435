"""Makes and renews the authority: root, issuing intermediate, bundle. What is valid stays."""

from __future__ import annotations

from datetime import datetime

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from automesh.mesh.certificates import Issuer, new_intermediate, new_root, to_pem
from services.auth.pki import folder
from services.auth.pki.folder import PkiError
from services.auth.pki.layout import Plan

log = structlog.get_logger()


def ensure_authority(plan: Plan, now: datetime) -> Issuer:
    """The issuer to sign with. Call it with the folder locked.

    A new root joins the bundle at once but signs only when the issuer is next renewed, so that everybody trusts it by
    then. Raises PkiError when something has to be signed by a root whose key is not here.
    """
    issuer = folder.read_issuer(*plan.layout.issuer)
    roots = [root for root in folder.read_chain(plan.layout.bundle) if root.not_valid_after_utc > now]
    if not _is_fresh(_newest_root(plan), now) and _may_make_root(plan):
        roots = _renew_root(plan, roots, now)
    if issuer is None or not _signed_by_any(issuer.certificate, roots) or not _is_fresh(issuer.certificate, now):
        issuer = _renew_issuer(plan, issuer, roots, now)
    return issuer


def is_usable(certificate: x509.Certificate | None, now: datetime) -> bool:
    """Whether it is valid at this moment."""
    return certificate is not None and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def _is_fresh(certificate: x509.Certificate | None, now: datetime) -> bool:
    """Whether it is valid and less than half of its life is over."""
    if certificate is None or not is_usable(certificate, now):
        return False
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now < starts + (ends - starts) / 2


def _newest_root(plan: Plan) -> x509.Certificate | None:
    chain = folder.read_chain(plan.layout.root[0])
    return chain[0] if chain else None


def _may_make_root(plan: Plan) -> bool:
    """A root whose key was taken offline is not replaced behind its owner's back."""
    certificate, key = plan.layout.root
    return key.exists() or not certificate.exists()


def _renew_root(plan: Plan, roots: list[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    name = f"automesh root of {plan.trust_domain} {now:%Y-%m-%d}"
    root = new_root(name, lifetime=plan.lifetimes.root, now=now)
    roots = [*roots, root.certificate]
    folder.write(plan.layout.bundle, to_pem(roots), mode=0o644)
    folder.write_issuer(*plan.layout.root, root)
    log.info("root made", name=name, until=root.certificate.not_valid_after_utc.isoformat())
    return roots


def _renew_issuer(plan: Plan, old: Issuer | None, roots: list[x509.Certificate], now: datetime) -> Issuer:
    root = folder.read_issuer(*plan.layout.root)
    if root is None:
        still_good = old is not None and _signed_by_any(old.certificate, roots) and is_usable(old.certificate, now)
        if old is not None and still_good:
            log.warning("the issuer should be renewed, but the root key is away", root_key=str(plan.layout.root[1]))
            return old
        raise PkiError(
            f"the issuing certificate must be renewed and the root key is not at {plan.layout.root[1]}: bring it back, "
            "run init again, and take it away afterwards"
        )
    if root.certificate not in roots:
        roots = [*roots, root.certificate]
    folder.write(plan.layout.bundle, to_pem(roots), mode=0o644)
    name = f"automesh issuer of {plan.trust_domain} {now:%Y-%m-%d}"
    issuer = new_intermediate(root, name, lifetime=plan.lifetimes.issuer, now=now)
    folder.write_issuer(*plan.layout.issuer, issuer)
    log.info("issuer made", name=name, until=issuer.certificate.not_valid_after_utc.isoformat())
    return issuer


def _signed_by_any(certificate: x509.Certificate, roots: list[x509.Certificate]) -> bool:
    return any(_signed_by(certificate, root) for root in roots)


def _signed_by(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
