-- Runs with their points, and sweeps of runs.
--
-- `detail` holds what is read and written with the run as a whole: its tasks, progress, last values, files and
-- checkpoints. NaN and infinities are texts there, which JSON numbers cannot be. Blobs that a run no longer names go to
-- discarded_blob in the transaction that drops them.

CREATE TABLE run (
    run_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    model_id text COLLATE "C" NOT NULL REFERENCES model ON DELETE CASCADE,
    spec json NOT NULL,
    state text NOT NULL DEFAULT 'QUEUED',
    submission integer NOT NULL CHECK (submission > 0),
    waits_for_gpu boolean NOT NULL,
    claims integer NOT NULL CHECK (claims >= 0),
    last_batch bigint NOT NULL CHECK (last_batch >= 0),
    last_sequence bigint NOT NULL CHECK (last_sequence >= 0),
    model_version integer NOT NULL CHECK (model_version >= 0), -- 0: none yet
    failure_reason text,
    failure_message text,
    cancel_reason text NOT NULL CHECK (length(cancel_reason) <= 1024),
    sweep_id text COLLATE "C" NOT NULL, -- empty: none
    detail json NOT NULL CHECK (json_typeof(detail) = 'object'),
    settled boolean NOT NULL, -- ended, and nothing is left to do for it
    created_by text NOT NULL,
    request_id text COLLATE "C" NOT NULL CHECK (length(request_id) <= 128), -- empty: none
    fingerprint text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    heard_at timestamptz,
    checked_at timestamptz NOT NULL DEFAULT now(),
    revision bigint NOT NULL DEFAULT 0,
    CONSTRAINT run_state_known CHECK (state IN ('QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    CONSTRAINT run_finished_exactly_when_ended
        CHECK ((finished_at IS NOT NULL) = (state IN ('COMPLETED', 'FAILED', 'CANCELLED'))),
    CONSTRAINT run_version_exactly_when_completed CHECK ((model_version > 0) = (state = 'COMPLETED')),
    CONSTRAINT run_failure_exactly_when_failed CHECK ((failure_reason IS NOT NULL) = (state = 'FAILED')),
    CONSTRAINT run_failure_whole CHECK (num_nonnulls(failure_reason, failure_message) IN (0, 2)),
    CONSTRAINT run_trains_after_a_claim CHECK (state NOT IN ('RUNNING', 'COMPLETED') OR claims > 0),
    CONSTRAINT run_waits_only_while_queued CHECK (state = 'QUEUED' OR NOT waits_for_gpu),
    CONSTRAINT run_settled_only_when_ended CHECK (NOT settled OR state IN ('COMPLETED', 'FAILED', 'CANCELLED'))
) WITH (fillfactor = 70); -- its row changes with every batch of points

CREATE UNIQUE INDEX run_request_once ON run (tenant_id, request_id) WHERE request_id <> '';
CREATE INDEX run_newest ON run (tenant_id, run_id DESC);
CREATE INDEX run_of_model ON run (model_id, run_id DESC);
CREATE INDEX run_of_sweep ON run (sweep_id) WHERE sweep_id <> '';
CREATE INDEX run_live ON run (tenant_id) WHERE state IN ('QUEUED', 'RUNNING');
CREATE INDEX run_unsettled ON run (checked_at) WHERE NOT settled;
CREATE INDEX run_ended ON run (finished_at) WHERE last_sequence > 0;
ALTER TABLE run ENABLE ROW LEVEL SECURITY;
ALTER TABLE run FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON run USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- By what a run is found: "task:<task id>" and "token:<SHA-256 of a run token>".
CREATE TABLE run_key (
    key text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    run_id text COLLATE "C" NOT NULL REFERENCES run ON DELETE CASCADE
);
CREATE INDEX run_key_run ON run_key (run_id);
ALTER TABLE run_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_key FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON run_key USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE metric_point (
    run_id text COLLATE "C" NOT NULL REFERENCES run ON DELETE CASCADE,
    sequence bigint NOT NULL CHECK (sequence > 0),
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    value double precision NOT NULL,
    step bigint NOT NULL CHECK (step >= 0),
    epoch integer NOT NULL CHECK (epoch >= 0),
    measured_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, sequence)
);
ALTER TABLE metric_point ENABLE ROW LEVEL SECURITY;
ALTER TABLE metric_point FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON metric_point USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE sweep (
    sweep_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    model_id text COLLATE "C" NOT NULL REFERENCES model ON DELETE CASCADE,
    spec json NOT NULL,
    method text NOT NULL CHECK (method IN ('grid', 'random', 'halving')),
    trials json NOT NULL CHECK (json_typeof(trials) = 'array'),
    max_parallel integer NOT NULL CHECK (max_parallel > 0),
    metric text NOT NULL CHECK (metric <> ''),
    higher_is_better boolean NOT NULL,
    state text NOT NULL DEFAULT 'RUNNING',
    created_by text NOT NULL,
    request_id text COLLATE "C" NOT NULL CHECK (length(request_id) <= 128), -- empty: none
    fingerprint text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    checked_at timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT sweep_state_known CHECK (state IN ('RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    CONSTRAINT sweep_finished_exactly_when_ended CHECK ((finished_at IS NOT NULL) = (state <> 'RUNNING'))
);
CREATE UNIQUE INDEX sweep_request_once ON sweep (tenant_id, request_id) WHERE request_id <> '';
CREATE INDEX sweep_under_way ON sweep (checked_at) WHERE state = 'RUNNING';
ALTER TABLE sweep ENABLE ROW LEVEL SECURITY;
ALTER TABLE sweep FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sweep USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
