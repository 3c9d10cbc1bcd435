-- Spaces, documents, their revisions and branches.
--
-- Bodies of documents are sealed by the service (`content.bytes`). Paths, titles, tags, owners and messages are not: they
-- are looked for and ordered by. A revision never changes; what may change is where the heads of branches point.

CREATE TABLE space (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL CHECK (space ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 4096),
    visibility text NOT NULL DEFAULT 'TENANT' CHECK (visibility IN ('TENANT', 'MEMBERS')),
    rules jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(rules) = 'object'),
    edition bigint NOT NULL DEFAULT 1, -- counts changes of this row and its members: the etag
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space)
);
ALTER TABLE space ENABLE ROW LEVEL SECURITY;
ALTER TABLE space FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON space USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE member (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    username text COLLATE "C" NOT NULL CHECK (username <> ''),
    role text NOT NULL CHECK (role IN ('READER', 'WRITER', 'OWNER')),
    PRIMARY KEY (tenant_id, space, username),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX member_spaces ON member (tenant_id, username);
ALTER TABLE member ENABLE ROW LEVEL SECURITY;
ALTER TABLE member FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON member USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Bodies by their SHA-256, compressed: whole, or with the body `base` as zstd's dictionary. `depth` counts such steps.
CREATE TABLE content (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    sha256 text COLLATE "C" NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    base text COLLATE "C",
    depth smallint NOT NULL DEFAULT 0 CHECK ((depth = 0) = (base IS NULL) AND depth BETWEEN 0 AND 16),
    size bigint NOT NULL CHECK (size >= 0),
    bytes bytea NOT NULL,
    PRIMARY KEY (tenant_id, sha256),
    FOREIGN KEY (tenant_id, base) REFERENCES content
);
CREATE INDEX content_base ON content (tenant_id, base) WHERE base IS NOT NULL;
ALTER TABLE content ENABLE ROW LEVEL SECURITY;
ALTER TABLE content FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON content USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE document (
    document_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, space) REFERENCES space
);
CREATE INDEX document_space ON document (tenant_id, space);
ALTER TABLE document ENABLE ROW LEVEL SECURITY;
ALTER TABLE document FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON document USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE revision (
    revision_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    document_id text COLLATE "C" NOT NULL REFERENCES document ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY, -- parents have smaller numbers
    parents text[] COLLATE "C" NOT NULL DEFAULT '{}' CHECK (cardinality(parents) <= 2),
    branch text COLLATE "C" NOT NULL,
    change text NOT NULL CHECK (change IN ('CREATE', 'EDIT', 'RENAME', 'DELETE', 'RESTORE', 'MERGE')),
    path text COLLATE "C" NOT NULL CHECK (length(path) BETWEEN 1 AND 400),
    title text NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    author text NOT NULL,
    co_authors text[] NOT NULL DEFAULT '{}',
    message text NOT NULL CHECK (length(message) <= 2000),
    lines_added integer NOT NULL DEFAULT 0 CHECK (lines_added >= 0),
    lines_removed integer NOT NULL DEFAULT 0 CHECK (lines_removed >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, sha256) REFERENCES content,
    CONSTRAINT revision_first_has_no_parents CHECK ((change = 'CREATE') = (parents = '{}'))
);
CREATE INDEX revision_document ON revision (document_id, number DESC);
CREATE INDEX revision_content ON revision (tenant_id, sha256);
ALTER TABLE revision ENABLE ROW LEVEL SECURITY;
ALTER TABLE revision FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON revision USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE FUNCTION revision_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'revision % never changes', OLD.revision_id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER revision_immutable BEFORE UPDATE ON revision FOR EACH ROW EXECUTE FUNCTION revision_is_immutable();

CREATE TABLE branch (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL CHECK (branch ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
    base text COLLATE "C" NOT NULL DEFAULT '' CHECK ((branch = 'main') = (base = '')),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space, branch),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
ALTER TABLE branch ENABLE ROW LEVEL SECURITY;
ALTER TABLE branch FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON branch USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Where a document stands on a branch. Every write is an UPDATE of this row with the expected revision in its WHERE.
CREATE TABLE head (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL REFERENCES document ON DELETE CASCADE,
    revision_id text COLLATE "C" NOT NULL REFERENCES revision,
    began text COLLATE "C" NOT NULL DEFAULT '', -- the revision it had when the branch was made
    path text COLLATE "C" NOT NULL,
    path_key text COLLATE "C" NOT NULL, -- equal for paths that differ in case only
    title text NOT NULL,
    tags text[] NOT NULL DEFAULT '{}',
    owner text NOT NULL,
    review_at timestamptz, -- as front matter says
    updated_by text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (document_id, branch),
    FOREIGN KEY (tenant_id, space, branch) REFERENCES branch ON DELETE CASCADE
);
CREATE UNIQUE INDEX head_path ON head (tenant_id, space, branch, path_key) WHERE deleted_at IS NULL;
CREATE INDEX head_listed ON head (tenant_id, space, branch, path) WHERE deleted_at IS NULL;
CREATE INDEX head_trash ON head (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX head_revision ON head (revision_id);
ALTER TABLE head ENABLE ROW LEVEL SECURITY;
ALTER TABLE head FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON head USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Paths that documents once had.
CREATE TABLE redirect (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    path_key text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL REFERENCES document ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space, branch, path_key),
    FOREIGN KEY (tenant_id, space, branch) REFERENCES branch ON DELETE CASCADE
);
ALTER TABLE redirect ENABLE ROW LEVEL SECURITY;
ALTER TABLE redirect FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON redirect USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Links out of the head of a document, to paths of the same space, and the places in it that links may lead to.
CREATE TABLE link (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    target_key text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    anchor text COLLATE "C" NOT NULL DEFAULT '',
    line integer NOT NULL CHECK (line > 0),
    picture boolean NOT NULL DEFAULT false,
    FOREIGN KEY (document_id, branch) REFERENCES head ON DELETE CASCADE
);
CREATE INDEX link_source ON link (document_id, branch);
CREATE INDEX link_target ON link (tenant_id, space, branch, target_key);
ALTER TABLE link ENABLE ROW LEVEL SECURITY;
ALTER TABLE link FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON link USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE anchor (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    document_id text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    anchors text[] NOT NULL,
    PRIMARY KEY (document_id, branch),
    FOREIGN KEY (document_id, branch) REFERENCES head ON DELETE CASCADE
);
ALTER TABLE anchor ENABLE ROW LEVEL SECURITY;
ALTER TABLE anchor FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON anchor USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- What happened on the branches "main", in order of commit as far as a reader is concerned: it reads up to the highest
-- number below which no transaction is still open (see store/changes.py).
CREATE TABLE change (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL DEFAULT '', -- empty: the space itself, its members or its visibility
    revision_id text COLLATE "C" NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX change_age ON change (created_at);
ALTER TABLE change ENABLE ROW LEVEL SECURITY;
ALTER TABLE change FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON change USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- How far those have come who follow the changes and keep what they make of them in this database.
CREATE TABLE follower (
    name text PRIMARY KEY,
    sequence bigint NOT NULL
);

-- Makes creates and updates safe to repeat.
CREATE TABLE write_request (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    request_id text COLLATE "C" NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    revision_id text COLLATE "C" NOT NULL REFERENCES revision ON DELETE CASCADE,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, request_id)
);
CREATE INDEX write_request_age ON write_request (created_at);
ALTER TABLE write_request ENABLE ROW LEVEL SECURITY;
ALTER TABLE write_request FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON write_request USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
