-- Tasks, their lines and artifacts, and the agents that work on them.
--
-- Finished tasks stay in `task` in this first form: all hot paths go through partial indexes that hold waiting or live
-- rows only. `input`, `result` and `checkpoint` are sealed by the service; log lines and failure texts are not.

CREATE TABLE task (
    task_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    type text NOT NULL CHECK (type <> ''),
    description text NOT NULL CHECK (length(description) <= 4096),
    priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
    input bytea NOT NULL,
    result bytea,
    checkpoint bytea,
    timeout_s double precision NOT NULL CHECK (timeout_s > 0),
    max_retries integer NOT NULL CHECK (max_retries BETWEEN 0 AND 100),
    retry_delay_s double precision NOT NULL CHECK (retry_delay_s BETWEEN 0 AND 3600),
    retry_multiplier double precision NOT NULL CHECK (retry_multiplier BETWEEN 1 AND 10),
    run_at timestamptz,
    created_by text NOT NULL,
    traceparent text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ready_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    status text NOT NULL DEFAULT 'SCHEDULED',
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    settled_attempt integer NOT NULL DEFAULT 0 CHECK (settled_attempt BETWEEN 0 AND attempt),
    failures integer NOT NULL DEFAULT 0 CHECK (failures BETWEEN 0 AND attempt),
    crashes integer NOT NULL DEFAULT 0 CHECK (crashes BETWEEN 0 AND attempt),
    agent_id text NOT NULL DEFAULT '',
    lease_until timestamptz,
    deadline_at timestamptz,
    failure_reason text,
    failure_message text,
    failure_retryable boolean,
    failure_attempt integer,
    progress_fraction double precision CHECK (progress_fraction BETWEEN 0 AND 1),
    progress_message text,
    progress_at timestamptz,
    cancel_reason text NOT NULL DEFAULT '',
    revision bigint NOT NULL DEFAULT 0,
    log_sequence bigint NOT NULL DEFAULT 0 CHECK (log_sequence >= 0),
    CONSTRAINT task_status_known
        CHECK (status IN ('SCHEDULED', 'OFFERED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    CONSTRAINT task_lease_exactly_while_live
        CHECK ((lease_until IS NOT NULL) = (status IN ('OFFERED', 'RUNNING'))),
    CONSTRAINT task_deadline_exactly_while_running
        CHECK ((deadline_at IS NOT NULL) = (status = 'RUNNING')),
    CONSTRAINT task_live_has_a_holder
        CHECK (status NOT IN ('OFFERED', 'RUNNING') OR (agent_id <> '' AND attempt > 0)),
    CONSTRAINT task_finished_exactly_when_over
        CHECK ((finished_at IS NOT NULL) = (status IN ('COMPLETED', 'FAILED', 'CANCELLED'))),
    CONSTRAINT task_result_exactly_when_completed
        CHECK ((result IS NOT NULL) = (status = 'COMPLETED')),
    CONSTRAINT task_failed_has_a_failure
        CHECK (status <> 'FAILED' OR failure_reason IS NOT NULL),
    CONSTRAINT task_failure_whole
        CHECK (num_nonnulls(failure_reason, failure_message, failure_retryable, failure_attempt) IN (0, 4)),
    CONSTRAINT task_progress_whole
        CHECK (num_nonnulls(progress_fraction, progress_message, progress_at) IN (0, 3))
) WITH (fillfactor = 80); -- room for the updates of a task's life beside it

CREATE INDEX task_ready ON task (type, priority DESC, ready_at, task_id) WHERE status = 'SCHEDULED';
CREATE INDEX task_waiting ON task (tenant_id) WHERE status IN ('SCHEDULED', 'OFFERED');
-- Small, as agents hold few tasks: serves the reaper and the count of an agent's leases. `lease_until` is left out so
-- that extending a lease touches no index.
CREATE INDEX task_live ON task (agent_id) WHERE status IN ('OFFERED', 'RUNNING');
CREATE INDEX task_newest ON task (tenant_id, task_id DESC);

ALTER TABLE task ENABLE ROW LEVEL SECURITY;
ALTER TABLE task FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON task USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Makes CreateTask safe to repeat. `fingerprint` is the sealed digest of what was asked.
CREATE TABLE task_request (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    request_id text COLLATE "C" NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    task_id text COLLATE "C" NOT NULL REFERENCES task ON DELETE CASCADE,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, request_id)
);
CREATE INDEX task_request_task ON task_request (task_id);
CREATE INDEX task_request_age ON task_request (created_at);
ALTER TABLE task_request ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_request FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON task_request USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE task_log (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    task_id text COLLATE "C" NOT NULL REFERENCES task ON DELETE CASCADE,
    sequence bigint NOT NULL CHECK (sequence > 0),
    written_at timestamptz NOT NULL DEFAULT now(),
    attempt integer NOT NULL CHECK (attempt > 0),
    line text NOT NULL CHECK (length(line) <= 4096),
    PRIMARY KEY (task_id, sequence)
);
ALTER TABLE task_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_log FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON task_log USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Which types a tenant may ask for. An empty tenant is the platform: its types are everybody's.
CREATE TABLE task_type (
    tenant_id text NOT NULL,
    type text NOT NULL CHECK (type <> ''),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, type)
);
ALTER TABLE task_type ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_type FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON task_type
    USING (tenant_id = '' OR (SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'))
    WITH CHECK ((SELECT current_setting('automesh.tenant', true)) IN (nullif(tenant_id, ''), '*'));

-- Agents. An empty tenant is the platform: such agents work for everybody, and everybody may see them.
CREATE TABLE agent (
    agent_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL,
    workload text NOT NULL,
    name text NOT NULL CHECK (length(name) <= 128),
    capabilities jsonb NOT NULL,
    slots integer NOT NULL CHECK (slots BETWEEN 1 AND 1000),
    version text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    session_id text NOT NULL DEFAULT '', -- of the open stream; empty: none
    draining boolean NOT NULL DEFAULT false
);
CREATE INDEX agent_age ON agent (last_seen_at);
ALTER TABLE agent ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON agent
    USING (tenant_id = '' OR (SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'))
    WITH CHECK ((SELECT current_setting('automesh.tenant', true)) IN (nullif(tenant_id, ''), '*'));

CREATE TABLE artifact (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    task_id text COLLATE "C" NOT NULL REFERENCES task,
    name text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 512),
    content_type text NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    sha256 text NOT NULL CHECK (length(sha256) = 64),
    blob text NOT NULL UNIQUE,
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, name)
);
ALTER TABLE artifact ENABLE ROW LEVEL SECURITY;
ALTER TABLE artifact FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON artifact USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Blobs to be deleted once `due_at` has come: replaced ones, those of deleted tasks, and uploads that never ended.
-- Names of blobs only, nothing of users' things.
CREATE TABLE discarded_blob (
    blob text PRIMARY KEY,
    due_at timestamptz NOT NULL
);
CREATE INDEX discarded_blob_due ON discarded_blob (due_at);
