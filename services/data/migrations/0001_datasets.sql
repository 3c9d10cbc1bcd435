-- Datasets, their versions and files, uploads, lineage, and what depends on them.
--
-- `recipe` (source and pipeline), `manifest` (columns, parts, facts, report) and `failure` may hold values out of
-- users' data: they are sealed by the service. A version that is finished never changes.

CREATE TABLE dataset (
    data_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 4096),
    labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
    latest_version integer NOT NULL DEFAULT 0,
    last_version integer NOT NULL DEFAULT 0,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dataset_versions_in_order CHECK (latest_version >= 0 AND latest_version <= last_version)
);
CREATE INDEX dataset_newest ON dataset (tenant_id, updated_at DESC, data_id DESC);
CREATE INDEX dataset_labels ON dataset USING gin (labels jsonb_path_ops);
ALTER TABLE dataset ENABLE ROW LEVEL SECURITY;
ALTER TABLE dataset FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON dataset USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE version (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    data_id text COLLATE "C" NOT NULL REFERENCES dataset ON DELETE CASCADE,
    version integer NOT NULL CHECK (version > 0),
    state text NOT NULL DEFAULT 'PROCESSING' CHECK (state IN ('PROCESSING', 'READY', 'REJECTED', 'FAILED')),
    recipe bytea NOT NULL,
    task_id text COLLATE "C" UNIQUE, -- null for the moment between its making and the answer of the orchestrator
    upload_id text COLLATE "C", -- the file it is made of: uploaded, or fetched from a URL
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    heard_at timestamptz NOT NULL DEFAULT now(), -- of its agent, or by looking at its task
    claim integer NOT NULL DEFAULT 0 CHECK (claim >= 0),
    claim_digest bytea UNIQUE CHECK (length(claim_digest) = 32),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    rows bigint NOT NULL DEFAULT 0 CHECK (rows >= 0),
    size bigint NOT NULL DEFAULT 0 CHECK (size >= 0),
    digest text NOT NULL DEFAULT '' CHECK (digest ~ '^([0-9a-f]{64})?$'),
    manifest bytea,
    failure bytea,
    PRIMARY KEY (data_id, version),
    CONSTRAINT version_finished_exactly_when_over CHECK ((finished_at IS NULL) = (state = 'PROCESSING')),
    CONSTRAINT version_manifest_exactly_when_made CHECK ((manifest IS NOT NULL) = (state IN ('READY', 'REJECTED'))),
    CONSTRAINT version_failure_exactly_when_failed CHECK ((failure IS NOT NULL) = (state = 'FAILED')),
    CONSTRAINT version_ready_has_a_digest CHECK (state <> 'READY' OR digest <> ''),
    CONSTRAINT version_claimed_has_a_token CHECK ((claim > 0) = (claim_digest IS NOT NULL))
);
CREATE INDEX version_processing ON version (heard_at) WHERE state = 'PROCESSING';
CREATE INDEX version_upload ON version (upload_id) WHERE state = 'PROCESSING';
CREATE INDEX version_tenant ON version (tenant_id) INCLUDE (size);
ALTER TABLE version ENABLE ROW LEVEL SECURITY;
ALTER TABLE version FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON version USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE FUNCTION version_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'version % of dataset % is finished and never changes', OLD.version, OLD.data_id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER version_immutable BEFORE UPDATE ON version
    FOR EACH ROW WHEN (OLD.state <> 'PROCESSING') EXECUTE FUNCTION version_is_immutable();

-- Files of versions: those of a claim while it works, those of the manifest once it is finished.
CREATE TABLE version_file (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    data_id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    name text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 512),
    size bigint NOT NULL CHECK (size >= 0),
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    blob text NOT NULL UNIQUE,
    PRIMARY KEY (data_id, version, name),
    FOREIGN KEY (data_id, version) REFERENCES version ON DELETE CASCADE
);
ALTER TABLE version_file ENABLE ROW LEVEL SECURITY;
ALTER TABLE version_file FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON version_file USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE FUNCTION version_files_are_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM version v
                WHERE v.data_id = NEW.data_id AND v.version = NEW.version AND v.state <> 'PROCESSING') THEN
        RAISE EXCEPTION 'the files of version % of dataset % never change', NEW.version, NEW.data_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER version_file_immutable BEFORE INSERT OR UPDATE ON version_file
    FOR EACH ROW EXECUTE FUNCTION version_files_are_immutable();

CREATE TABLE upload (
    upload_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    format text NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    blob text NOT NULL UNIQUE,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX upload_expiry ON upload (expires_at);
CREATE INDEX upload_tenant ON upload (tenant_id) INCLUDE (size);
ALTER TABLE upload ENABLE ROW LEVEL SECURITY;
ALTER TABLE upload FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON upload USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- What a version was made of. `source_id` is no foreign key: the lineage outlives what it names.
CREATE TABLE lineage (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    data_id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('dataset', 'upload', 'url', 'generator')),
    source_id text COLLATE "C" NOT NULL,
    source_version integer NOT NULL DEFAULT 0 CHECK ((kind = 'dataset') = (source_version > 0)),
    PRIMARY KEY (data_id, version),
    FOREIGN KEY (data_id, version) REFERENCES version ON DELETE CASCADE
);
CREATE INDEX lineage_downstream ON lineage (source_id, source_version);
ALTER TABLE lineage ENABLE ROW LEVEL SECURITY;
ALTER TABLE lineage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON lineage USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Models that were trained on a version.
CREATE TABLE dependent (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    data_id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    model_id text COLLATE "C" NOT NULL CHECK (model_id <> ''),
    model_version integer NOT NULL CHECK (model_version > 0),
    PRIMARY KEY (data_id, version, model_id, model_version),
    FOREIGN KEY (data_id, version) REFERENCES version ON DELETE CASCADE
);
CREATE INDEX dependent_model ON dependent (tenant_id, model_id);
ALTER TABLE dependent ENABLE ROW LEVEL SECURITY;
ALTER TABLE dependent FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON dependent USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Makes ProcessData safe to repeat. `fingerprint` is the sealed digest of what was asked.
CREATE TABLE version_request (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    request_id text COLLATE "C" NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    data_id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (data_id, version) REFERENCES version ON DELETE CASCADE
);
CREATE INDEX version_request_version ON version_request (data_id, version);
CREATE INDEX version_request_age ON version_request (created_at);
ALTER TABLE version_request ENABLE ROW LEVEL SECURITY;
ALTER TABLE version_request FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON version_request USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Blobs to be deleted once `due_at` has come: replaced ones, those of what was deleted, and writes that never ended.
-- Names of blobs only, nothing of users' things.
CREATE TABLE discarded_blob (
    blob text PRIMARY KEY,
    due_at timestamptz NOT NULL
);
CREATE INDEX discarded_blob_due ON discarded_blob (due_at);
