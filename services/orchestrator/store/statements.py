"""The set statements of the task engine. Each is fenced by `attempt`, and equals a transition of `domain.task.Task`.

A property test holds them equal. Times are the database's alone.
"""

from __future__ import annotations

from services.orchestrator.domain.retry import MAX_CRASHES, MAX_DELAY
from services.orchestrator.domain.task import (
    LEASE_LOST,
    LEASE_LOST_TEXT,
    POISON,
    POISON_TEXT,
    TIMED_OUT,
    TIMED_OUT_TEXT,
)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_OVER = "lease_until = NULL, deadline_at = NULL, updated_at = now(), revision = t.revision + 1"
_LIVE = "t.status IN ('OFFERED', 'RUNNING')"

# A crash of the database may forget the last statements that hold this: then an attempt counts as not accepted, a lease
# as not extended, a report as not made. The fencing epoch is safe: leases and ends always wait for the disk. The
# subquery is asked once, before the first row is changed, and holds for the whole transaction.
_RELAXED = "(SELECT set_config('synchronous_commit', 'off', true)) = 'off'"

# Per type, so that a long queue of types nobody asks for is never walked through; ordered again over all types.
LEASE = """
WITH picked AS MATERIALIZED (
    SELECT ready.task_id, row_number() OVER (ORDER BY ready.priority DESC, ready.ready_at, ready.task_id) AS place
      FROM unnest($1::text[]) AS kind(type)
     CROSS JOIN LATERAL (
        SELECT task_id, priority, ready_at FROM task
         WHERE status = 'SCHEDULED' AND type = kind.type AND ready_at <= now() AND ($2 = '' OR tenant_id = $2)
         ORDER BY priority DESC, ready_at, task_id LIMIT cardinality($3::text[]) FOR UPDATE SKIP LOCKED
     ) AS ready
)
UPDATE task t
   SET status = 'OFFERED', attempt = t.attempt + 1, agent_id = ($3::text[])[picked.place::int],
       lease_until = now() + $4::interval, progress_fraction = NULL, progress_message = NULL, progress_at = NULL,
       updated_at = now(), revision = t.revision + 1
  FROM picked
 WHERE t.task_id = picked.task_id AND t.status = 'SCHEDULED' AND picked.place <= cardinality($3::text[])
RETURNING t.*
"""

ACCEPT = f"""
UPDATE task t
   SET status = 'RUNNING', lease_until = now() + $4::interval,
       started_at = CASE t.status WHEN 'OFFERED' THEN now() ELSE t.started_at END,
       deadline_at = CASE t.status WHEN 'OFFERED' THEN now() + make_interval(secs => t.timeout_s)
                                   ELSE t.deadline_at END,
       updated_at = CASE t.status WHEN 'OFFERED' THEN now() ELSE t.updated_at END,
       revision = t.revision + (t.status = 'OFFERED')::int
  FROM unnest($1::text[], $2::int[]) AS lease(task_id, attempt)
 WHERE t.task_id = lease.task_id AND t.attempt = lease.attempt AND t.agent_id = $3
   AND {_LIVE} AND {_RELAXED}
RETURNING t.task_id, t.attempt
"""  # noqa: S608 # made of constants

EXTEND = f"""
UPDATE task t SET lease_until = now() + $4::interval
  FROM unnest($1::text[], $2::int[], $3::text[]) AS lease(task_id, attempt, agent_id)
 WHERE t.task_id = lease.task_id AND t.attempt = lease.attempt AND t.agent_id = lease.agent_id AND t.status = 'RUNNING'
   AND {_RELAXED}
RETURNING t.task_id, t.attempt
"""  # noqa: S608 # made of constants

WITHDRAW = f"""
UPDATE task t SET status = 'SCHEDULED', {_OVER}
  FROM unnest($1::text[], $2::int[]) AS lease(task_id, attempt)
 WHERE t.task_id = lease.task_id AND t.attempt = lease.attempt AND t.status = 'OFFERED'
"""  # noqa: S608 # made of constants

REPORT = f"""
UPDATE task t
   SET progress_fraction = coalesce(r.fraction, t.progress_fraction),
       progress_message = CASE WHEN r.fraction IS NULL THEN t.progress_message ELSE r.message END,
       progress_at = CASE WHEN r.fraction IS NULL THEN t.progress_at ELSE now() END,
       checkpoint = coalesce(r.checkpoint, t.checkpoint), log_sequence = t.log_sequence + r.lines,
       updated_at = now(), revision = t.revision + 1
  FROM unnest($1::text[], $2::int[], $3::text[], $4::float8[], $5::text[], $6::bytea[], $7::int[])
       AS r(task_id, attempt, agent_id, fraction, message, checkpoint, lines)
 WHERE t.task_id = r.task_id AND t.attempt = r.attempt AND t.agent_id = r.agent_id AND {_LIVE} AND {_RELAXED}
RETURNING t.task_id, t.tenant_id, t.attempt, t.log_sequence
"""  # noqa: S608 # made of constants

LOG = """
INSERT INTO task_log (tenant_id, task_id, sequence, attempt, line)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::text[])
"""

TRIM_LOG = """
DELETE FROM task_log l USING unnest($1::text[], $2::bigint[]) AS full_log(task_id, keep_after)
 WHERE l.task_id = full_log.task_id AND l.sequence <= full_log.keep_after
"""

COMPLETE = f"""
UPDATE task t
   SET status = 'COMPLETED', finished_at = now(), result = done.result, settled_attempt = t.attempt,
       failure_reason = NULL, failure_message = NULL, failure_retryable = NULL, failure_attempt = NULL, {_OVER}
  FROM unnest($1::text[], $2::int[], $3::text[], $4::bytea[]) AS done(task_id, attempt, agent_id, result)
 WHERE t.task_id = done.task_id AND t.attempt = done.attempt AND t.agent_id = done.agent_id AND {_LIVE}
RETURNING t.task_id, t.attempt, t.status, 0.0::float8 AS retry_in_s
"""  # noqa: S608 # made of constants


def _failed(retryable: str, jitter: str) -> str:
    """The SET list of a failure that counts against the retries."""
    again = f"({retryable} AND t.failures < t.max_retries)"
    delay_s = f"least({MAX_DELAY.total_seconds()}, t.retry_delay_s * power(t.retry_multiplier, t.failures)) * {jitter}"
    return f"""
       status = CASE WHEN {again} THEN 'SCHEDULED' ELSE 'FAILED' END, failures = t.failures + 1,
       finished_at = CASE WHEN {again} THEN NULL ELSE now() END,
       ready_at = CASE WHEN {again} THEN now() + make_interval(secs => {delay_s}) ELSE t.ready_at END, {_OVER}"""


FAIL = f"""
UPDATE task t
   SET settled_attempt = t.attempt, failure_reason = f.reason, failure_message = f.message,
       failure_retryable = f.retryable, failure_attempt = t.attempt, {_failed("f.retryable", "f.jitter")}
  FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::float8[])
       AS f(task_id, attempt, agent_id, reason, message, retryable, jitter)
 WHERE t.task_id = f.task_id AND t.attempt = f.attempt AND t.agent_id = f.agent_id AND {_LIVE}
RETURNING t.task_id, t.attempt, t.status, extract(epoch FROM t.ready_at - now())::float8 AS retry_in_s
"""  # noqa: S608 # made of constants

# A `done` that was recorded before, by the same agent under the same attempt.
SETTLED = """
SELECT t.task_id, s.attempt, t.status
  FROM unnest($1::text[], $2::int[], $3::text[]) AS s(task_id, attempt, agent_id)
  JOIN task t ON t.task_id = s.task_id AND t.settled_attempt = s.attempt
 WHERE t.agent_id = s.agent_id OR t.attempt > s.attempt
"""

TIME_OUT = f"""
WITH due AS MATERIALIZED (
    SELECT task_id FROM task WHERE status IN ('OFFERED', 'RUNNING') AND deadline_at < now()
     LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE task t
   SET failure_reason = {_literal(TIMED_OUT)}, failure_message = {_literal(TIMED_OUT_TEXT)}, failure_retryable = true,
       failure_attempt = t.attempt, {_failed("true", "$2::float8")}
  FROM due WHERE t.task_id = due.task_id AND t.status = 'RUNNING' AND t.deadline_at < now()
RETURNING t.task_id, t.attempt, t.agent_id, t.status, extract(epoch FROM t.ready_at - now())::float8 AS retry_in_s
"""  # noqa: S608 # made of constants

LAPSE = f"""
WITH due AS MATERIALIZED (
    SELECT task_id, status = 'RUNNING' AS crashed, crashes + 1 >= {MAX_CRASHES} AS poison
      FROM task WHERE status IN ('OFFERED', 'RUNNING') AND lease_until < now()
     LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE task t
   SET status = CASE WHEN due.crashed AND due.poison THEN 'FAILED' ELSE 'SCHEDULED' END,
       finished_at = CASE WHEN due.crashed AND due.poison THEN now() END,
       ready_at = CASE WHEN due.crashed AND NOT due.poison THEN now() ELSE t.ready_at END,
       crashes = t.crashes + due.crashed::int,
       failure_reason = CASE WHEN NOT due.crashed THEN t.failure_reason
                             WHEN due.poison THEN {_literal(POISON)} ELSE {_literal(LEASE_LOST)} END,
       failure_message = CASE WHEN NOT due.crashed THEN t.failure_message
                              WHEN due.poison THEN {_literal(POISON_TEXT)} ELSE {_literal(LEASE_LOST_TEXT)} END,
       failure_retryable = CASE WHEN due.crashed THEN NOT due.poison ELSE t.failure_retryable END,
       failure_attempt = CASE WHEN due.crashed THEN t.attempt ELSE t.failure_attempt END, {_OVER}
  FROM due WHERE t.task_id = due.task_id AND t.status IN ('OFFERED', 'RUNNING') AND t.lease_until < now()
RETURNING t.task_id, t.attempt, t.agent_id, t.status, 0.0::float8 AS retry_in_s
"""  # noqa: S608 # made of constants

HELD = f"SELECT t.* FROM task t WHERE t.task_id = $1 AND t.attempt = $2 AND {_LIVE}"  # noqa: S608 # made of constants

LOSSES = f"""
SELECT lease.task_id, lease.attempt, t.cancel_reason,
       CASE WHEN t.status = 'CANCELLED' AND t.attempt = lease.attempt THEN 'CANCELLED'
            WHEN t.failure_reason = {_literal(TIMED_OUT)} AND t.failure_attempt = lease.attempt THEN 'TIMED_OUT'
            ELSE 'STALE' END AS ended
  FROM unnest($1::text[], $2::int[]) AS lease(task_id, attempt) LEFT JOIN task t ON t.task_id = lease.task_id
"""  # noqa: S608 # made of constants
