-- Models, their versions, the aliases that point at them, and webhooks.
--
-- Files of versions are encrypted blobs below runs/<tenant>/<run>/; the secrets of webhooks are sealed by the service.

CREATE TABLE model (
    model_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description text NOT NULL CHECK (length(description) <= 4096),
    tags jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(tags) = 'object'),
    gates jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(gates) = 'array'),
    max_batch_size integer NOT NULL DEFAULT 0 CHECK (max_batch_size >= 0),
    max_delay_us integer CHECK (max_delay_us >= 0),
    max_queue integer NOT NULL DEFAULT 0 CHECK (max_queue >= 0),
    latest_version integer NOT NULL DEFAULT 0 CHECK (latest_version >= 0),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT model_name_once UNIQUE (tenant_id, name)
);
CREATE INDEX model_changed ON model (tenant_id, updated_at DESC, model_id DESC);
ALTER TABLE model ENABLE ROW LEVEL SECURITY;
ALTER TABLE model FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON model USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Versions never change. `metrics` holds NaN and infinities as texts, which JSON numbers cannot be.
CREATE TABLE model_version (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    model_id text COLLATE "C" NOT NULL REFERENCES model ON DELETE CASCADE,
    version integer NOT NULL CHECK (version > 0),
    run_id text COLLATE "C" NOT NULL CHECK (run_id <> ''),
    metrics jsonb NOT NULL CHECK (jsonb_typeof(metrics) = 'object'),
    signature json NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    parameters bigint NOT NULL CHECK (parameters >= 0),
    digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    files jsonb NOT NULL CHECK (jsonb_typeof(files) = 'array'),
    card json NOT NULL,
    spec json NOT NULL,
    data_id text NOT NULL,
    data_version integer NOT NULL CHECK (data_version >= 0),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_id, version),
    CONSTRAINT model_version_of_a_run_once UNIQUE (run_id)
);
ALTER TABLE model_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE model_version FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON model_version USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE alias (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    model_id text COLLATE "C" NOT NULL REFERENCES model ON DELETE CASCADE,
    alias text COLLATE "C" NOT NULL CHECK (alias ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    version integer NOT NULL,
    PRIMARY KEY (model_id, alias),
    FOREIGN KEY (model_id, version) REFERENCES model_version ON DELETE CASCADE
);
ALTER TABLE alias ENABLE ROW LEVEL SECURITY;
ALTER TABLE alias FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alias USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Append-only: how aliases moved. 0 is nowhere.
CREATE TABLE alias_move (
    move_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    model_id text COLLATE "C" NOT NULL REFERENCES model ON DELETE CASCADE,
    alias text NOT NULL,
    from_version integer NOT NULL CHECK (from_version >= 0),
    to_version integer NOT NULL CHECK (to_version >= 0),
    override_reason text NOT NULL CHECK (length(override_reason) <= 1024),
    results jsonb NOT NULL CHECK (jsonb_typeof(results) = 'array'),
    moved_by text NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT alias_move_moves CHECK (from_version <> to_version)
);
CREATE INDEX alias_move_newest ON alias_move (model_id, move_id DESC);
ALTER TABLE alias_move ENABLE ROW LEVEL SECURITY;
ALTER TABLE alias_move FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alias_move USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Aliases that a new version asks for; gone once they are decided.
CREATE TABLE alias_request (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    model_id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    alias text COLLATE "C" NOT NULL,
    requested_by text NOT NULL,
    tries integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    due_at timestamptz NOT NULL DEFAULT now(), -- while a replica decides it, in the future
    PRIMARY KEY (model_id, version, alias),
    FOREIGN KEY (model_id, version) REFERENCES model_version ON DELETE CASCADE
);
CREATE INDEX alias_request_due ON alias_request (due_at);
ALTER TABLE alias_request ENABLE ROW LEVEL SECURITY;
ALTER TABLE alias_request FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alias_request USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE webhook (
    webhook_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    url text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    events text[] NOT NULL,
    description text NOT NULL CHECK (length(description) <= 4096),
    secret bytea NOT NULL,
    request_id text NOT NULL CHECK (length(request_id) <= 128), -- empty: none
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX webhook_request_once ON webhook (tenant_id, request_id) WHERE request_id <> '';
CREATE INDEX webhook_newest ON webhook (tenant_id, webhook_id DESC);
ALTER TABLE webhook ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- One event on its way to one webhook, written in the transaction of what it tells of. A replica that works on it holds
-- it until `claimed_until`; `attempts` counts up with every claim and fences what is written afterwards.
CREATE TABLE delivery (
    delivery_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    webhook_id text COLLATE "C" NOT NULL REFERENCES webhook ON DELETE CASCADE,
    event text NOT NULL,
    body bytea NOT NULL,
    state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_status integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '' CHECK (length(last_error) <= 1024),
    created_at timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz DEFAULT now(),
    claimed_until timestamptz,
    CONSTRAINT delivery_waits_exactly_while_pending CHECK ((next_at IS NOT NULL) = (state = 'PENDING')),
    CONSTRAINT delivery_held_only_while_pending CHECK (claimed_until IS NULL OR state = 'PENDING')
);
CREATE INDEX delivery_due ON delivery (next_at) WHERE state = 'PENDING';
CREATE INDEX delivery_waiting ON delivery (webhook_id, next_at) WHERE state = 'PENDING';
CREATE INDEX delivery_age ON delivery (created_at) WHERE state <> 'PENDING';
CREATE INDEX delivery_newest ON delivery (webhook_id, delivery_id DESC);
ALTER TABLE delivery ENABLE ROW LEVEL SECURITY;
ALTER TABLE delivery FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON delivery USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Blobs, and whole folders of blobs (their name ends in '/'), to be deleted once `due_at` has come.
CREATE TABLE discarded_blob (
    blob text PRIMARY KEY,
    due_at timestamptz NOT NULL
);
CREATE INDEX discarded_blob_due ON discarded_blob (due_at);

-- Deleted models whose datasets the data service has still to be told of.
CREATE TABLE released_model (
    model_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    due_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX released_model_due ON released_model (due_at);
ALTER TABLE released_model ENABLE ROW LEVEL SECURITY;
ALTER TABLE released_model FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON released_model USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
