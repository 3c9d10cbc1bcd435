-- Attachments and drafts.

-- Contents of files, once a tenant: where the blob store has them. `touched_at` guards one that is being stored again.
CREATE TABLE attachment_blob (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    sha256 text COLLATE "C" NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL CHECK (size >= 0),
    blob text NOT NULL UNIQUE,
    touched_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, sha256) INCLUDE (size)
);
CREATE INDEX attachment_blob_age ON attachment_blob (touched_at);
ALTER TABLE attachment_blob ENABLE ROW LEVEL SECURITY;
ALTER TABLE attachment_blob FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON attachment_blob USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- What is at a path of a branch.
CREATE TABLE attachment (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL CHECK (length(path) BETWEEN 1 AND 400),
    path_key text COLLATE "C" NOT NULL,
    content_type text NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    sha256 text COLLATE "C" NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space, branch, path_key),
    FOREIGN KEY (tenant_id, space, branch) REFERENCES branch ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, sha256) REFERENCES attachment_blob
);
CREATE INDEX attachment_listed ON attachment (tenant_id, space, branch, path);
CREATE INDEX attachment_content ON attachment (tenant_id, sha256);
ALTER TABLE attachment ENABLE ROW LEVEL SECURITY;
ALTER TABLE attachment FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON attachment USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- What was at it, in the order in which it came; without a content: it was taken away. `began`: the branch began with it.
CREATE TABLE attachment_version (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    path_key text COLLATE "C" NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    path text COLLATE "C" NOT NULL,
    content_type text NOT NULL,
    size bigint NOT NULL,
    sha256 text COLLATE "C",
    began boolean NOT NULL DEFAULT false,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space, branch, path_key, number),
    FOREIGN KEY (tenant_id, space, branch) REFERENCES branch ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, sha256) REFERENCES attachment_blob
);
CREATE INDEX attachment_version_content ON attachment_version (tenant_id, sha256);
ALTER TABLE attachment_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE attachment_version FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON attachment_version USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Blobs to be deleted once `due_at` has come: writes that never ended, and what nothing refers to any more. Names of
-- blobs only, nothing of users' things.
CREATE TABLE discarded_blob (
    blob text PRIMARY KEY,
    due_at timestamptz NOT NULL
);
CREATE INDEX discarded_blob_due ON discarded_blob (due_at);

-- Work that one person has not saved yet. `body` is sealed: nobody else ever sees it.
CREATE TABLE draft (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    username text COLLATE "C" NOT NULL CHECK (username <> ''),
    draft_id text COLLATE "C" NOT NULL CHECK (draft_id ~ '^[A-Za-z0-9_-]{1,100}$'),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    path text NOT NULL DEFAULT '' CHECK (length(path) <= 400),
    base text COLLATE "C" NOT NULL DEFAULT '',
    body bytea NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    version bigint NOT NULL CHECK (version > 0),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, username, draft_id),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX draft_listed ON draft (tenant_id, username, updated_at DESC, draft_id DESC);
CREATE INDEX draft_age ON draft (updated_at);
ALTER TABLE draft ENABLE ROW LEVEL SECURITY;
ALTER TABLE draft FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON draft USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
