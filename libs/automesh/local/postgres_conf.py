"""The settings of the embedded PostgreSQL: durable, small, one machine, one owner."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_SETTINGS = """\
# Written at each start; changes here are lost.
cluster_name = 'automesh'
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100

# Durable: a completed task stays completed whatever happens to the machine.
fsync = on
synchronous_commit = on
full_page_writes = on

# Small, as many services share the machine.
shared_buffers = 64MB
work_mem = 4MB
maintenance_work_mem = 64MB
wal_buffers = 4MB
min_wal_size = 64MB
max_wal_size = 512MB
checkpoint_timeout = 15min
io_method = sync
max_worker_processes = 2
max_parallel_workers_per_gather = 0
max_wal_senders = 3
max_logical_replication_workers = 0
jit = off

# Queue tables change all the time: clean up early and often.
autovacuum_naptime = 10s
autovacuum_max_workers = 2
autovacuum_vacuum_cost_delay = 1ms

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
datestyle = 'iso, ymd'
default_text_search_config = 'pg_catalog.english'
log_destination = 'stderr'
logging_collector = off
log_checkpoints = off
log_line_prefix = '%m [%p] %a '
"""


def postgresql_conf(socket_dir: Path) -> str:
    """postgresql.conf with its one variable part."""
    return f"{_SETTINGS}unix_socket_directories = {_quoted(str(socket_dir))}\n"


def hba_conf() -> str:
    """pg_hba.conf: only this machine's socket, only by who the operating system says is calling."""
    return "local all all peer map=embedded\n"


def ident_conf(system_users: Iterable[str], roles: Iterable[str]) -> str:
    """pg_ident.conf: which system users may be which roles."""
    named = list(roles)
    return "".join(f'embedded "{user}" {role}\n' for user in sorted(system_users) for role in named)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
