"""What happens around every rpc a server serves: identity, access, audit, metrics, errors. Wrapped once a method."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from typing import Any

import grpc
import structlog

from automesh.core.errors import AutomationError, InternalError, Unauthenticated, Unavailable
from automesh.mesh import caller as callers
from automesh.mesh.acting import read_acting
from automesh.mesh.audit import AuditEvent, AuditLog
from automesh.mesh.caller import Caller
from automesh.mesh.errors import STATUS, Unimplemented, abort
from automesh.mesh.identity import BadIdentity, SpiffeId
from automesh.mesh.nul import naming_nul
from automesh.mesh.policy import AccessTable, Rule
from automesh.mesh.requests import WholeRequests
from automesh.mesh.tokens import Claims, TokenVerifier
from automesh.telemetry.metrics import ServerMetrics
from automesh.telemetry.traces import REQUEST_ID, TRACEPARENT, new_request_id, new_traceparent, valid_traceparent

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]
SLOW_S = 1.0
# No "username": people type passwords there when they sign in.
_RESOURCES = (
    *("data_id", "model_id", "run_id", "sweep_id", "upload_id", "webhook_id"),
    *("task_id", "user_id", "key_id", "agent_id", "name"),
    *("document_id", "review_id", "comment_id", "template_id", "release_id", "job_id", "backup_id"),
)
_PLACES = ("space",)
"""What is named where nothing has an id of its own."""
_REASONS = ("override_reason", "reason")
_MAX_REQUEST_ID = 128


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Guards a server of the mesh."""

    def __init__(
        self, access: AccessTable, tokens: TokenVerifier, audit: AuditLog, *, trust_domain: str, environment: str
    ) -> None:
        self._access, self._tokens, self._audit = access, tokens, audit
        self._trust_domain, self._environment = trust_domain, environment
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Finds the handler of the method and puts the guard around it, the first time it is called."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return handler  # gRPC answers UNIMPLEMENTED itself
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        guard = _Guard(self, method)
        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        behaviour: Any = handler.stream_stream or handler.stream_unary or handler.unary_stream or handler.unary_unary
        # A streaming method that is no generator writes its messages through the context, and so returns like a unary.
        streams = handler.response_streaming and inspect.isasyncgenfunction(inspect.unwrap(behaviour))
        uploads = handler.request_streaming and not handler.response_streaming
        return make(
            guard.stream(behaviour) if streams else guard.unary(_taking_whole(behaviour) if uploads else behaviour),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def claims(self, metadata: Mapping[str, str]) -> Claims | None:
        """What the token says; None without one. Raises Unauthenticated for one that is no good."""
        authorization = metadata.get("authorization")
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the authorization header must read: Bearer <access token>")
        return await self._tokens.verify(token.strip())

    def workload(self, context: Context) -> SpiffeId:
        """The identity in the certificate. Raises Unauthenticated for one that is no good."""
        # peer_spiffe_id alone: with two URIs in the certificate TLS passes, and only this property stays away.
        values = context.auth_context().get("peer_spiffe_id")
        if not values:
            raise Unauthenticated("the certificate of the caller has no single SPIFFE id")
        try:
            workload = _parsed(next(iter(values)))
        except BadIdentity as error:
            raise Unauthenticated(error.message) from error
        if workload.trust_domain != self._trust_domain:
            raise Unauthenticated(f"the trust domain {workload.trust_domain} is not ours")
        # One CA may serve several (on Kubernetes: namespaces), and anybody may name a service "agent" in theirs.
        if workload.environment != self._environment:
            raise Unauthenticated(f"the environment {workload.environment} is not ours")
        return workload

    def rule(self, method: str) -> Rule:
        """The access rule of a method."""
        return self._access.rule(method)

    @property
    def audit(self) -> AuditLog:
        """Where entries go."""
        return self._audit


def _taking_whole(behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
    async def take(requests: Any, context: Context) -> Any:
        return await behaviour(WholeRequests(requests), context)

    return take


class _Guard:
    """The guard around one method."""

    def __init__(self, interceptor: CallInterceptor, method: str) -> None:
        self._interceptor, self._method = interceptor, method
        self._rule = interceptor.rule(method)
        self._metrics = ServerMetrics(method[1:])

    def unary(self, behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
        """Around a method that returns its one response."""

        async def serve(request: Any, context: Context) -> Any:
            call = await self._begin(request, context)
            try:
                response = await behaviour(request, context)
            except BaseException as error:
                await call.failed(error)
                raise
            call.end("OK", "", response)
            return response

        return serve

    def stream(
        self, behaviour: Callable[[Any, Context], AsyncGenerator[Any, None]]
    ) -> Callable[[Any, Context], AsyncGenerator[Any, None]]:
        """Around a method that yields its responses; closed with the call, so that no watcher leaks."""

        async def serve(request: Any, context: Context) -> AsyncGenerator[Any, None]:
            call = await self._begin(request, context)
            try:
                async with aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        yield response
            except BaseException as error:
                await call.failed(error)
                raise
            call.end("OK", "", None)

        return serve

    async def _begin(self, request: Any, context: Context) -> _Call:
        call = _Call(self._method, self._rule, self._metrics, self._interceptor.audit, context)
        call.request = request
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        try:
            workload = self._interceptor.workload(context)
            try:
                claims = await self._interceptor.claims(metadata)
            except AutomationError:
                call.enter(_caller(context, metadata, workload, None))  # the denial is audited with what is known
                raise
            call.enter(_caller(context, metadata, workload, claims))
            self._rule.check(call.caller)
            self._act(call, metadata)
            self._rule.check_tenant(call.caller, request)
            if self._rule.audited:
                self._interceptor.audit.require_room()
        except BaseException as error:
            await call.failed(error)
            raise
        return call

    def _act(self, call: _Call, metadata: Mapping[str, str]) -> None:
        """Makes the call that of whom a trusted service acts for."""
        if not self._rule.lets_act(call.caller):
            return
        acting = read_acting(metadata)
        if acting is not None:
            call.become(replace(call.caller, tenant_id=acting.tenant_id, subject=acting.subject, acting=True))


class _Call:
    """One call being served: started, and ended exactly once."""

    __slots__ = ("_audit", "_context", "_method", "_metrics", "_rule", "_started", "_token", "caller", "request")

    def __init__(self, method: str, rule: Rule, metrics: ServerMetrics, audit: AuditLog, context: Context) -> None:
        self._method, self._rule, self._metrics, self._audit, self._context = method, rule, metrics, audit, context
        self.caller = callers.NOBODY
        self.request: Any = None
        self._token: Any = None
        self._started = time.perf_counter()
        metrics.begin()

    def enter(self, caller: Caller) -> None:
        """From now on this is who calls."""
        self.caller = caller
        self._token = callers.enter(caller)

    def become(self, caller: Caller) -> None:
        """The call turns out to be somebody else's."""
        self._leave()
        self.enter(caller)

    async def failed(self, error: BaseException) -> None:
        """Ends the call with what went wrong; raises the abort for errors, returns for cancellation."""
        foreseen = _foreseen(error, self._method)
        if foreseen is None:
            code = _code_name(self._context) if isinstance(error, grpc.aio.AbortError) else "CANCELLED"
            self.end(code, "", None)
            return
        self.end(STATUS[foreseen.kind].name, foreseen.reason, None)
        await abort(self._context, naming_nul(foreseen, self.request))

    def end(self, code: str, reason: str, response: Any) -> None:
        seconds = time.perf_counter() - self._started
        self._metrics.end(code, seconds)
        denied = code in ("PERMISSION_DENIED", "UNAUTHENTICATED")
        # Nobody in particular may be refused as often as they like, but may not fill the audit log with it.
        if (self._rule.audited or denied) and (self.caller.signed_in or not denied or self._audit.strangers.take()):
            self._record(code, reason, response)
        if code != "OK" or (seconds > SLOW_S and self._rule.audited):
            log.info("call", method=self._method, code=code, reason=reason, ms=round(seconds * 1000, 1))
        self._leave()

    def _leave(self) -> None:
        # A generator closed by the garbage collector ends in another context, where there is nothing to undo.
        with contextlib.suppress(ValueError):
            if self._token is not None:
                callers.leave(self._token)
        self._token = None

    def _record(self, code: str, reason: str, response: Any) -> None:
        caller = self.caller
        self._audit.record(
            AuditEvent(
                method=self._method[1:],
                outcome=code,
                reason=reason or _given_reason(self.request),
                tenant_id=caller.tenant_id,
                subject=caller.subject,
                workload=str(caller.workload or ""),
                resource=_first(_RESOURCES, self.request, response) or _first(_PLACES, self.request, response),
                request_id=caller.request_id,
            )
        )


def _caller(context: Context, metadata: Mapping[str, str], workload: SpiffeId, claims: Claims | None) -> Caller:
    traceparent = metadata.get(TRACEPARENT, "")
    request_id = metadata.get(REQUEST_ID, "")[:_MAX_REQUEST_ID] or new_request_id()
    if not valid_traceparent(traceparent):
        traceparent = new_traceparent()
    if claims is None:
        return Caller(workload=workload, request_id=request_id, traceparent=traceparent, peer=context.peer())
    return Caller(
        workload=workload,
        subject=claims.subject,
        name=claims.name,
        username=claims.username,
        tenant_id=claims.tenant_id,
        roles=claims.roles,
        permissions=claims.permissions,
        request_id=request_id,
        traceparent=traceparent,
        peer=context.peer(),
    )


@lru_cache(maxsize=1024)
def _parsed(uri: bytes) -> SpiffeId:
    return SpiffeId.parse(uri.decode())


def _foreseen(error: BaseException, method: str) -> AutomationError | None:
    """The error to answer with; None for those that end the call by themselves."""
    if isinstance(error, AutomationError):
        return error
    if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError | GeneratorExit | KeyboardInterrupt | SystemExit):
        return None
    if isinstance(error, NotImplementedError):
        return Unimplemented(f"{method[1:]} is not implemented by this service", method=method[1:])
    if isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.UNAVAILABLE:
        log.warning("a neighbour is away", method=method, error=error.details())
        return Unavailable("a service this call depends on is away: try again")
    log.error("unforeseen error", method=method, exc_info=error)
    return InternalError("internal error")


def _code_name(context: Context) -> str:
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"


def _given_reason(request: Any) -> str:
    """Why the caller says that it must be: what overrides a rule or stops something is found again with its reason."""
    for name in _REASONS:
        if isinstance(given := getattr(request, name, ""), str) and given:
            return given
    return ""


def _first(names: Sequence[str], *messages: Any) -> str:
    """The first of these fields that a request or its response has, itself or in a message inside it."""
    return next((found for message in messages if (found := _named(names, message))), "")


def _named(names: Sequence[str], message: Any) -> str:
    descriptor = getattr(message, "DESCRIPTOR", None)
    if descriptor is None:
        return ""
    inner = [
        getattr(message, field.name)
        for field in descriptor.fields
        if field.message_type is not None and not field.is_repeated and message.HasField(field.name)
    ]
    values = (
        getattr(each, name) for each in (message, *inner) for name in names if name in each.DESCRIPTOR.fields_by_name
    )
    return next((value for value in values if isinstance(value, str) and value), "")


_MAKERS: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
