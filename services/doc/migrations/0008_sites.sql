-- Published sites: what readers see, the releases that were built, their files, and who switched when and why.
--
-- Files are kept by their SHA-256: small ones here, sealed, large ones in the blob store. What readers see is one row,
-- `site.current`: a switch is one statement.

CREATE TABLE site (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    title text NOT NULL DEFAULT '' CHECK (length(title) <= 200),
    theme text NOT NULL DEFAULT 'auto' CHECK (theme IN ('auto', 'light', 'dark')),
    accent text NOT NULL DEFAULT '' CHECK (accent ~ '^(#[0-9a-f]{6})?$'),
    auto_publish boolean NOT NULL DEFAULT false,
    paused text NOT NULL DEFAULT '' CHECK (length(paused) <= 1100),
    keep integer NOT NULL DEFAULT 10 CHECK (keep BETWEEN 1 AND 100),
    public boolean NOT NULL DEFAULT false,
    current text COLLATE "C",
    edition bigint NOT NULL DEFAULT 1, -- counts changes of what people choose: the etag
    changed_at timestamptz, -- the first change on "main" that auto-publish has not published yet
    last_change_at timestamptz, -- and the last one
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX site_changed ON site (changed_at) WHERE changed_at IS NOT NULL;
ALTER TABLE site ENABLE ROW LEVEL SECURITY;
ALTER TABLE site FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON site USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE release (
    release_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    preview boolean NOT NULL,
    automatic boolean NOT NULL DEFAULT false, -- asked for by a merge
    state text NOT NULL DEFAULT 'BUILDING' CHECK (state IN ('BUILDING', 'READY', 'FAILED')),
    digest text NOT NULL DEFAULT '',
    pages integer NOT NULL DEFAULT 0,
    files integer NOT NULL DEFAULT 0,
    size bigint NOT NULL DEFAULT 0,
    created_by text NOT NULL,
    message text NOT NULL CHECK (length(message) <= 2000),
    failure text NOT NULL DEFAULT '',
    checks text[] NOT NULL DEFAULT '{}',
    step text NOT NULL DEFAULT '',
    fraction double precision NOT NULL DEFAULT 0 CHECK (fraction BETWEEN 0 AND 1),
    attempt integer NOT NULL DEFAULT 0, -- in the WHERE of everything that a builder writes
    leased_until timestamptz,
    request_id text COLLATE "C",
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    ended_at timestamptz,
    FOREIGN KEY (tenant_id, space) REFERENCES site ON DELETE CASCADE
);
CREATE UNIQUE INDEX release_request ON release (tenant_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX release_listed ON release (tenant_id, space, created_at DESC, release_id DESC);
CREATE INDEX release_building ON release (created_at) WHERE state = 'BUILDING';
ALTER TABLE release ENABLE ROW LEVEL SECURITY;
ALTER TABLE release FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON release USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
ALTER TABLE site ADD FOREIGN KEY (current) REFERENCES release;

CREATE TABLE site_content (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    sha256 text COLLATE "C" NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL CHECK (size >= 0),
    gzip boolean NOT NULL DEFAULT false, -- what is sealed is compressed
    bytes bytea,
    blob text UNIQUE,
    touched_at timestamptz NOT NULL DEFAULT now(), -- guards one that a release being built will refer to
    PRIMARY KEY (tenant_id, sha256),
    CHECK ((bytes IS NULL) <> (blob IS NULL))
);
CREATE INDEX site_content_age ON site_content (touched_at);
ALTER TABLE site_content ENABLE ROW LEVEL SECURITY;
ALTER TABLE site_content FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON site_content USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE release_file (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    release_id text COLLATE "C" NOT NULL REFERENCES release ON DELETE CASCADE,
    path text COLLATE "C" NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    content_type text NOT NULL,
    attachment boolean NOT NULL DEFAULT false, -- somebody's file, not the builder's
    location text NOT NULL DEFAULT '', -- a moved page: where it is now
    document text NOT NULL DEFAULT '', -- the path of the document that it shows
    PRIMARY KEY (release_id, path),
    FOREIGN KEY (tenant_id, sha256) REFERENCES site_content
);
CREATE INDEX release_file_content ON release_file (tenant_id, sha256);
ALTER TABLE release_file ENABLE ROW LEVEL SECURITY;
ALTER TABLE release_file FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON release_file USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- What readers saw when. Releases that are gone stay in it by name.
CREATE TABLE site_switch (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    release_id text COLLATE "C" NOT NULL DEFAULT '',
    previous text COLLATE "C" NOT NULL DEFAULT '',
    actor text NOT NULL,
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 2000),
    rollback boolean NOT NULL DEFAULT false,
    switched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (tenant_id, space) REFERENCES site ON DELETE CASCADE
);
CREATE INDEX site_switch_listed ON site_switch (tenant_id, space, number DESC);
ALTER TABLE site_switch ENABLE ROW LEVEL SECURITY;
ALTER TABLE site_switch FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON site_switch USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
