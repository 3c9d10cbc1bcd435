"""Write an agent in Python, and a typed client of the platform."""

from automesh.sdk.agent import Agent
from automesh.sdk.client import Client
from automesh.sdk.connect import connect
from automesh.sdk.connection import Connection, MeshConnection, TokenConnection
from automesh.sdk.context import TaskContext
from automesh.sdk.errors import ConfigurationError, PermanentError, RetryableError
from automesh.sdk.program import run
from automesh.sdk.settings import SdkSettings
from automesh.sdk.task import LeasedTask
from automesh.sdk.uploads import StoredArtifact
from automesh.sdk.worker import Worker, WorkerOptions

__all__ = [
    "Agent",
    "LeasedTask",
    "TaskContext",
    "PermanentError",
    "RetryableError",
    "StoredArtifact",
    "run",
    "Client",
    "Connection",
    "MeshConnection",
    "TokenConnection",
    "connect",
    "SdkSettings",
    "ConfigurationError",
    "Worker",
    "WorkerOptions",
]
