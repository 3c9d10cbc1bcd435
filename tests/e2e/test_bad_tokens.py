"""Tokens that are no good, made with the very key of the running auth where that makes them better forgeries."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from joserfc.jwk import ECKey

from automesh.local.postgres import EmbeddedPostgres
from automesh.mesh.identity import IdentityFiles
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.orchestrator.v1 import task_service_pb2_grpc as rpc
from automesh.storage.keyring import Keyring
from automesh.storage.postgres import Database
from automesh.storage.sealing import Sealer
from automesh.testing.live import LIMIT_S, LiveStack
from automesh.testing.people import Anybody, error_of
from automesh.testing.tokens import TokenMint
from services.auth.domain.signing_keys import KeyState, SigningKey
from services.auth.store.signing_keys import SqlSigningKeyStore

ALL = ("task.create", "task.read")
Forge = Callable[[TokenMint], str]


async def read_signing_key(live: LiveStack) -> SigningKey:
    """As auth reads it: out of its database, with the key file of the stack."""
    postgres = EmbeddedPostgres(live.state.folder / "postgres" / "data", live.state.run / "postgres")
    async with Database.open(postgres.dsn, schema="auth") as database:
        keys = await SqlSigningKeyStore(database, Sealer(Keyring.from_file(live.state.keyring))).change(list)
    return next(key for key in keys if key.state is KeyState.ACTIVE)


@pytest.fixture(scope="module")
def mint(live: LiveStack) -> TokenMint:
    """Makes tokens that differ from auth's own only where a test wants it."""
    key = asyncio.run(read_signing_key(live))
    mint = TokenMint(key_id=key.key_id)
    mint.key = ECKey.import_key(key.private_pem)
    return mint


def coded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def unsigned(mint: TokenMint) -> str:
    """alg none, with the claims of a good token."""
    claims = mint.mint(ALL).split(".")[1]
    return f"{coded({'alg': 'none', 'typ': 'at+jwt', 'kid': mint.key_id})}.{claims}."


def changed(mint: TokenMint) -> str:
    """A good token whose claims were changed after it was signed."""
    header, claims, signature = mint.mint(["task.read"]).split(".")
    content = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return f"{header}.{coded({**content, 'tid': 'alpha', 'scope': ' '.join(ALL)})}.{signature}"


BAD: dict[str, tuple[Forge, str]] = {
    "expired": (lambda mint: mint.mint(ALL, iat=int(time.time()) - 900, exp=int(time.time()) - 600), "expired"),
    "not valid yet": (lambda mint: mint.mint(ALL, iat=int(time.time()) + 600), "not valid yet"),
    "without an end": (lambda mint: mint.mint(ALL, exp=None), "when it ends"),
    "for another audience": (lambda mint: mint.mint(ALL, aud="another"), "not made for this mesh"),
    "by another issuer": (lambda mint: mint.mint(ALL, iss="spiffe://elsewhere/auth"), "not made for this mesh"),
    "without a tenant": (lambda mint: mint.mint(ALL, tid=None), "who it is for"),
    "signed with a key of one's own": (lambda mint: TokenMint(key_id=mint.key_id).mint(ALL), "signature"),
    "signed with an unknown key": (lambda mint: TokenMint(key_id="none").mint(ALL), "sign in again"),
    "not signed": (unsigned, "ES256"),
    "changed after it was signed": (changed, "signature"),
    "another kind of token": (lambda mint: mint.mint(ALL, header={"typ": "JWT"}), "not an access token"),
    "no token at all": (lambda mint: "nonsense", "not a JWT"),
    "cut short": (lambda mint: mint.mint(ALL)[:-10], "signature"),
    "endless": (lambda mint: "a" * 20_000, "longer than"),
    "an API key that never was": (lambda mint: "am_" + "0" * 23 + "_" + "A" * 43, "key"),
}


def test_the_forger_makes_good_tokens_when_it_wants_to(stranger: Anybody, mint: TokenMint) -> None:
    response = stranger.call("GET", "/tasks", headers={"authorization": f"Bearer {mint.mint(ALL)}"})

    assert response.status_code == 200


@pytest.mark.parametrize("case", BAD)
def test_a_token_that_is_no_good_opens_nothing_and_says_why(stranger: Anybody, mint: TokenMint, case: str) -> None:
    forge, hint = BAD[case]
    headers = {"authorization": f"Bearer {forge(mint)}"}
    response = stranger.call("POST", "/tasks", json={"type": "noop"}, headers=headers)

    assert error_of(response)[0] == 401
    assert hint in error_of(response)[2]
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["", "Basic YWRtaW46YWRtaW4=", "Bearer", "token"])
def test_no_token_is_not_enough(stranger: Anybody, header: str) -> None:
    response = stranger.call("GET", "/tasks", headers={"authorization": header} if header else {})

    assert error_of(response)[:2] == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("path", ["/health", "/auth/jwks"])
def test_a_bad_token_is_refused_even_where_none_is_needed(stranger: Anybody, path: str) -> None:
    headers = {"authorization": "Bearer nonsense"}

    assert stranger.call("GET", path).status_code == 200
    assert stranger.call("GET", path, headers=headers).status_code == 401


@pytest.mark.parametrize("case", ["expired", "for another audience", "not signed", "signed with a key of one's own"])
async def test_a_token_that_is_no_good_opens_nothing_over_grpc_either(
    live: LiveStack, certificate: IdentityFiles, mint: TokenMint, case: str
) -> None:
    forge, hint = BAD[case]
    held = certificate.load()
    shown = grpc.ssl_channel_credentials(held.bundle_pem, held.key_pem, held.certificate_pem)
    address = f"127.0.0.1:{live.process('orchestrator').port}"
    override = [("grpc.ssl_target_name_override", "orchestrator.automesh.local")]
    async with grpc.aio.secure_channel(address, shown, override) as channel:
        metadata = (("authorization", f"Bearer {forge(mint)}"),)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rpc.TaskServiceStub(channel).ListTasks(pb.ListTasksRequest(), metadata=metadata, timeout=LIMIT_S)

    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert hint in (refused.value.details() or "")
