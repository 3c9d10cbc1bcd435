"""API keys, certificates and the audit log, through the rpcs."""

import asyncpg
import pytest
from cryptography import x509

from automesh.auth.v1 import api_key_service_pb2, certificate_service_pb2, token_service_pb2
from automesh.mesh.certificates import new_csr, new_key
from automesh.storage.postgres import ENGINE
from tests.integration.auth_house import House, an_event, listed, record, refused, whoami

pytestmark = pytest.mark.postgres


# ---------------------------------------------------------------- API keys


async def test_a_key_is_made_used_listed_and_revoked(house: House) -> None:
    token = await house.signed_in("dev", "developer")
    keys, tokens = await house.keys(token), await house.tokens()
    wanted = api_key_service_pb2.ApiKey(name="ci", permissions=["task.create", "task.read"])
    made = await keys.CreateApiKey(api_key_service_pb2.CreateApiKeyRequest(api_key=wanted))
    exchange = token_service_pb2.ExchangeApiKeyRequest(api_key=made.secret)
    pair = (await tokens.ExchangeApiKey(exchange)).tokens
    assert pair.refresh_token == ""
    me = await whoami(house, pair.access_token)
    assert (me.subject, me.name, list(me.permissions)) == (made.api_key.key_id, "ci", ["task.create", "task.read"])
    listed = (await keys.ListApiKeys(api_key_service_pb2.ListApiKeysRequest())).api_keys
    assert [(key.key_id, key.HasField("last_used_time")) for key in listed] == [(made.api_key.key_id, True)]
    await keys.RevokeApiKey(api_key_service_pb2.RevokeApiKeyRequest(key_id=made.api_key.key_id))
    with refused("UNAUTHENTICATED", "BAD_CREDENTIALS"):
        await tokens.ExchangeApiKey(exchange)
    with refused("NOT_FOUND", "API_KEY_NOT_FOUND"):
        await keys.RevokeApiKey(api_key_service_pb2.RevokeApiKeyRequest(key_id=made.api_key.key_id))


async def test_a_key_cannot_be_made_with_more_than_one_holds(house: House) -> None:
    token = await house.signed_in("dev", "developer")
    wanted = api_key_service_pb2.ApiKey(name="ci", permissions=["user.write"])
    with refused("PERMISSION_DENIED"):
        await (await house.keys(token)).CreateApiKey(api_key_service_pb2.CreateApiKeyRequest(api_key=wanted))


# ---------------------------------------------------------------- certificates


async def test_a_service_renews_the_certificate_it_called_with(house: House) -> None:
    stub = await house.certificates(caller="orchestrator")
    request = certificate_service_pb2.RenewCertificateRequest(csr_pem=new_csr(new_key()).decode())
    chain = (await stub.RenewCertificate(request)).chain
    assert chain.spiffe_id == "spiffe://automesh.local/ns/dev/sa/orchestrator"
    leaf = x509.load_pem_x509_certificates(chain.certificate_pem.encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [chain.spiffe_id]
    bundle = await stub.GetTrustBundle(certificate_service_pb2.GetTrustBundleRequest())
    assert bundle.bundle_pem == chain.bundle_pem


async def test_a_renewal_for_somebody_else_or_with_an_old_key_is_refused(house: House) -> None:
    stub, key = await house.certificates(caller="orchestrator"), new_key()
    foreign = new_csr(new_key(), spiffe_id="spiffe://automesh.local/ns/dev/sa/auth").decode()
    with refused("INVALID_ARGUMENT"):
        await stub.RenewCertificate(certificate_service_pb2.RenewCertificateRequest(csr_pem=foreign))
    again = certificate_service_pb2.RenewCertificateRequest(csr_pem=new_csr(key).decode())
    await stub.RenewCertificate(again)
    with refused("INVALID_ARGUMENT"):
        await stub.RenewCertificate(again)


async def test_the_key_that_a_service_calls_with_is_not_certified_again(house: House) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    identity = house.mesh.ca.service("agent")
    key = load_pem_private_key(identity.load().key_pem, None)
    assert isinstance(key, EllipticCurvePrivateKey)
    stub = await house.certificates(identity=identity)
    with refused("INVALID_ARGUMENT"):
        await stub.RenewCertificate(certificate_service_pb2.RenewCertificateRequest(csr_pem=new_csr(key).decode()))


async def test_a_client_certificate_is_issued_to_those_who_may_and_cannot_renew_itself(house: House) -> None:
    request = certificate_service_pb2.IssueClientCertificateRequest(csr_pem=new_csr(new_key()).decode(), name="laptop")
    issued = await (await house.certificates(await house.admin())).IssueClientCertificate(request)
    assert issued.chain.spiffe_id == "spiffe://automesh.local/ns/dev/client/laptop"
    with refused("PERMISSION_DENIED"):
        await (await house.certificates(await house.signed_in("eye", "viewer"))).IssueClientCertificate(request)
    client = await house.certificates(caller="laptop", client=True)
    with refused("PERMISSION_DENIED"):
        await client.RenewCertificate(
            certificate_service_pb2.RenewCertificateRequest(csr_pem=new_csr(new_key()).decode())
        )


# ---------------------------------------------------------------- audit
async def test_entries_carry_the_service_that_sent_them_and_are_stored_once(house: House) -> None:
    forged = an_event("evt_1", service="auth", tenant_id="default", subject="user_1")
    await record(house, forged, caller="orchestrator")
    await record(house, forged, an_event("evt_2", tenant_id="default", subject="user_1"), caller="agent")
    events = (await listed(house, await house.admin(), subject="user_1")).events
    assert {event.event_id: event.service for event in events} == {"evt_1": "orchestrator", "evt_2": "agent"}


async def test_a_client_certificate_opens_no_audit_log(house: House) -> None:
    with refused("PERMISSION_DENIED"):
        await record(house, an_event("evt_1"), caller="laptop", client=True)


async def test_entries_of_nobody_are_for_operators_alone(house: House) -> None:
    await record(house, an_event("evt_1", resource="r"), an_event("evt_2", resource="r", tenant_id="default"))
    admin = await house.signed_in("ann", "admin")
    assert [event.event_id for event in (await listed(house, admin, resource="r")).events] == ["evt_2"]
    operators = (await listed(house, await house.admin(), resource="r")).events
    assert {event.event_id for event in operators} == {"evt_1", "evt_2"}


async def test_pages_of_entries_end_and_refuse_another_filter(house: House) -> None:
    await record(house, *(an_event(f"evt_{number}", resource="r", tenant_id="default") for number in range(5)))
    token, seen, page = await house.admin(), [], ""
    while True:
        response = await listed(house, token, resource="r", page_size=2, page_token=page)
        seen += [event.event_id for event in response.events]
        if not response.next_page_token:
            break
        page = response.next_page_token
    assert sorted(seen) == [f"evt_{number}" for number in range(5)]
    with refused("INVALID_ARGUMENT"):
        await listed(house, token, resource="another", page_token=page)
    with refused("INVALID_ARGUMENT"):
        await listed(house, token, subject="nul\0")


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET outcome = 'OK'", "DELETE FROM audit_event", "TRUNCATE audit_event"]
)
async def test_nobody_rewrites_the_audit_log(house: House, statement: str) -> None:
    await house.login()
    before = await house.database.fetch("SELECT * FROM audit_event", tenant=ENGINE)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await house.database.execute(statement, tenant=ENGINE)
    assert await house.database.fetch("SELECT * FROM audit_event", tenant=ENGINE) == before != []


async def test_every_sign_in_and_key_use_is_in_the_log_with_who_it_was(house: House) -> None:
    token = await house.signed_in("dev", "developer")
    made = await (await house.keys(token)).CreateApiKey(
        api_key_service_pb2.CreateApiKeyRequest(api_key=api_key_service_pb2.ApiKey(name="ci"))
    )
    await (await house.tokens()).ExchangeApiKey(token_service_pb2.ExchangeApiKeyRequest(api_key=made.secret))
    with refused("UNAUTHENTICATED"):
        await house.login("dev", "wrong")
    me = await whoami(house, token)
    operator = await house.admin()
    of_the_key = (await listed(house, operator, subject=made.api_key.key_id)).events
    assert [(event.method, event.outcome) for event in of_the_key] == [
        ("automesh.auth.v1.TokenService/ExchangeApiKey", "OK")
    ]
    of_the_person = (await listed(house, operator, subject=me.subject)).events
    assert [(event.method.rpartition("/")[2], event.outcome) for event in of_the_person] == [
        ("Login", "UNAUTHENTICATED"),
        ("Login", "OK"),
    ]
