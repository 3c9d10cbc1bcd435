"""The xDS bootstrap of gRPC: where control is, and which files hold the certificate. Must precede the first channel."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automesh.mesh.identity import IdentityFiles

CERTIFICATE_PROVIDER = "mesh"
"""Name of the file watcher that holds a process's certificate and the roots; control names it in each cluster."""

VARIABLE = "GRPC_XDS_BOOTSTRAP_CONFIG"
REFRESH_INTERVAL = "1s"
DEFAULT_ZONE = "default"
MAX_SOCKET_PATH = 100


def xds_bootstrap(
    *,
    control_address: str,
    identity: IdentityFiles,
    instance_id: str,
    service: str,
) -> dict[str, Any]:
    """The bootstrap document of a process of the mesh, for gRPC's C core (Python, C++, Ruby, PHP)."""
    files = {
        "certificate_file": str(identity.certificate),
        "private_key_file": str(identity.key),
        "ca_certificate_file": str(identity.bundle),
        "refresh_interval": REFRESH_INTERVAL,
    }
    return {
        "node": _node(instance_id, service),
        "xds_servers": [_server(control_address, {"type": "tls", "config": files})],
        "certificate_providers": {CERTIFICATE_PROVIDER: {"plugin_name": "file_watcher", "config": files}},
    }


def local_xds_bootstrap(*, socket_path: str, identity: IdentityFiles, instance_id: str, service: str) -> dict[str, Any]:
    """The same for clients that can only speak plaintext to an xDS server (Node): over control's Unix socket."""
    document = xds_bootstrap(control_address="", identity=identity, instance_id=instance_id, service=service)
    return {**document, "xds_servers": [_server(f"unix:{socket_path}", {"type": "insecure"})]}


def control_socket(state_dir: Path) -> Path:
    """Where control's Unix socket is. A long state folder gets a short path of its own: the system allows 107 bytes."""
    wanted = state_dir.absolute() / "run" / "control.sock"
    if len(os.fsencode(wanted)) <= MAX_SOCKET_PATH:
        return wanted
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"automesh-{os.getuid()}-{digest}" / "control.sock"


def install(document: Mapping[str, Any]) -> None:
    """Hands the document to the gRPC of this process, through its environment, before the first xds channel."""
    os.environ[VARIABLE] = json.dumps(document)


def _node(instance_id: str, service: str) -> dict[str, Any]:
    return {"id": instance_id, "cluster": service, "locality": {"zone": DEFAULT_ZONE}}  # which Node insists on


def _server(uri: str, credentials: Mapping[str, Any]) -> dict[str, Any]:
    # ignore_resource_deletion (gRFC A53): a service that control does not name for a moment is kept, not torn down.
    return {
        "server_uri": uri,
        "channel_creds": [credentials],
        "server_features": ["xds_v3", "ignore_resource_deletion"],
    }
