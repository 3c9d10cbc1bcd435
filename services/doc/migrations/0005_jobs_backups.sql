-- Long work, and what imports remember.

-- A worker holds a job until `leased_until`; `attempt` counts workers and fences the ones before.
CREATE TABLE job (
    job_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    kind text NOT NULL CHECK (kind IN ('IMPORT', 'EXPORT', 'BACKUP', 'VERIFY', 'RESTORE')),
    space text COLLATE "C" NOT NULL DEFAULT '', -- empty: several
    backup_id text COLLATE "C" NOT NULL DEFAULT '',
    asked jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(asked) = 'object'),
    created_by text NOT NULL,
    admin boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'QUEUED' CHECK (state IN ('QUEUED', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')),
    done bigint NOT NULL DEFAULT 0 CHECK (done >= 0),
    total bigint NOT NULL DEFAULT 0 CHECK (total >= 0),
    step text NOT NULL DEFAULT '',
    failure text NOT NULL DEFAULT '',
    tally jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(tally) = 'object'),
    problems jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(problems) = 'array'),
    place jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(place) = 'object'), -- where another worker goes on
    attempt integer NOT NULL DEFAULT 0,
    leased_until timestamptz,
    cancelled boolean NOT NULL DEFAULT false, -- somebody asked for its end
    edition bigint NOT NULL DEFAULT 0, -- counts changes, for those who watch
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    expires_at timestamptz,
    CONSTRAINT job_ended CHECK ((state IN ('DONE', 'FAILED', 'CANCELLED')) = (ended_at IS NOT NULL)),
    CONSTRAINT job_leased CHECK ((state = 'RUNNING') = (leased_until IS NOT NULL)),
    CONSTRAINT job_failed CHECK ((state = 'FAILED') = (failure <> ''))
);
CREATE INDEX job_open ON job (created_at) WHERE state IN ('QUEUED', 'RUNNING');
CREATE INDEX job_listed ON job (tenant_id, job_id DESC);
CREATE INDEX job_age ON job (ended_at) WHERE ended_at IS NOT NULL;
CREATE UNIQUE INDEX job_one_backup ON job (tenant_id) WHERE kind = 'BACKUP' AND state IN ('QUEUED', 'RUNNING');
ALTER TABLE job ENABLE ROW LEVEL SECURITY;
ALTER TABLE job FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON job USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- What the last import brought to a path: the base of the next import's merge.
CREATE TABLE import_base (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    path_key text COLLATE "C" NOT NULL,
    sha256 text COLLATE "C" NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    PRIMARY KEY (tenant_id, space, branch, path_key),
    FOREIGN KEY (tenant_id, space, branch) REFERENCES branch ON DELETE CASCADE
);
ALTER TABLE import_base ENABLE ROW LEVEL SECURITY;
ALTER TABLE import_base FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON import_base USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- The last commit of a git history that came to a folder: the next import goes on after it.
CREATE TABLE import_commit (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    prefix text COLLATE "C" NOT NULL,
    root text COLLATE "C" NOT NULL,
    commit text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, space, branch, prefix, root),
    FOREIGN KEY (tenant_id, space, branch) REFERENCES branch ON DELETE CASCADE
);
ALTER TABLE import_commit ENABLE ROW LEVEL SECURITY;
ALTER TABLE import_commit FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON import_commit USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
