-- Reviews of branches, and bodies that nothing refers to any more.

-- Descriptions and messages are sealed by the service; titles are not: they are shown in lists and messages.
CREATE TABLE review (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    review_id text COLLATE "C" PRIMARY KEY,
    space text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL CHECK (target <> branch),
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 300),
    description bytea NOT NULL,
    state text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'MERGED', 'CLOSED')),
    author text NOT NULL,
    reviewers text[] COLLATE "C" NOT NULL DEFAULT '{}',
    -- While the review is open both branches must stay; afterwards they may go.
    open_branch text COLLATE "C" GENERATED ALWAYS AS (CASE WHEN state = 'OPEN' THEN branch END) STORED,
    open_target text COLLATE "C" GENERATED ALWAYS AS (CASE WHEN state = 'OPEN' THEN target END) STORED,
    -- What the branch had done when the review ended.
    work_digest text,
    work_authors text[] NOT NULL DEFAULT '{}',
    closing bytea,
    edition bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'OPEN') = (work_digest IS NULL)),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE,
    -- Deferred, so that a whole space can go with its branches and reviews in whatever order.
    CONSTRAINT review_open_branch FOREIGN KEY (tenant_id, space, open_branch) REFERENCES branch DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT review_open_target FOREIGN KEY (tenant_id, space, open_target) REFERENCES branch DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX review_one_open ON review (tenant_id, space, open_branch);
CREATE INDEX review_targets ON review (tenant_id, space, open_target);
CREATE INDEX review_listed ON review (tenant_id, updated_at DESC, review_id DESC);
ALTER TABLE review ENABLE ROW LEVEL SECURITY;
ALTER TABLE review FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON review USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE judgement (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    review_id text COLLATE "C" NOT NULL REFERENCES review ON DELETE CASCADE,
    reviewer text COLLATE "C" NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('APPROVED', 'CHANGES_REQUESTED')),
    message bytea NOT NULL,
    digest text NOT NULL, -- of what the branch had done then
    judged_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (review_id, reviewer)
);
ALTER TABLE judgement ENABLE ROW LEVEL SECURITY;
ALTER TABLE judgement FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON judgement USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- The heads of a whole branch, its trash too: compared, copied, removed.
CREATE INDEX head_branch ON head (tenant_id, space, branch, document_id);

-- What is looked for when documents and their revisions go.
CREATE INDEX redirect_document ON redirect (document_id);
CREATE INDEX write_request_revision ON write_request (revision_id);

-- Bodies that have lost a revision, or a body packed against them: perhaps nothing refers to them any more.
CREATE TABLE loose_content (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    sha256 text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);
ALTER TABLE loose_content ENABLE ROW LEVEL SECURITY;
ALTER TABLE loose_content FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON loose_content USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE FUNCTION revisions_are_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO loose_content (tenant_id, sha256) SELECT DISTINCT tenant_id, sha256 FROM gone ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER revision_gone AFTER DELETE ON revision REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION revisions_are_gone();
