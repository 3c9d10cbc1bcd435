-- Search in this database: an engine of its own, or what answers while a replica builds its index anew.
--
-- Bodies are sealed, and so is what search keeps of them: a section as it is shown is sealed, its words are keyed hashes
-- (`search_key` holds the key of each tenant, sealed). Everything here is made of the documents and may be made again.

CREATE TABLE search_key (
    tenant_id text PRIMARY KEY CHECK (tenant_id <> ''),
    sealed bytea NOT NULL
);
ALTER TABLE search_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_key FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON search_key USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE search_page (
    document_id text COLLATE "C" PRIMARY KEY REFERENCES document ON DELETE CASCADE,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    revision_id text COLLATE "C" NOT NULL
);
ALTER TABLE search_page ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_page FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON search_page USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE search_section (
    document_id text COLLATE "C" NOT NULL REFERENCES search_page ON DELETE CASCADE,
    ordinal integer NOT NULL CHECK (ordinal >= 0),
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    shown bytea NOT NULL, -- heading, anchor and text, sealed
    PRIMARY KEY (document_id, ordinal)
);
CREATE INDEX search_section_tenant ON search_section (tenant_id);
ALTER TABLE search_section ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_section FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON search_section USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Hashed words. Row-level security would keep PostgreSQL from using the indexes, since matching is not leakproof; what is
-- here says nothing without a tenant's key, no two tenants have a word in common, and every query joins `head`, which has
-- row-level security.
CREATE TABLE search_page_words (
    document_id text COLLATE "C" PRIMARY KEY REFERENCES search_page ON DELETE CASCADE,
    exact bigint NOT NULL, -- stands for the words of the title
    words tsvector NOT NULL
);
CREATE INDEX search_page_words_words ON search_page_words USING gin (words);
CREATE TABLE search_section_words (
    document_id text COLLATE "C" NOT NULL,
    ordinal integer NOT NULL,
    exact bigint NOT NULL, -- stands for the words of the heading
    words tsvector NOT NULL,
    PRIMARY KEY (document_id, ordinal),
    FOREIGN KEY (document_id, ordinal) REFERENCES search_section ON DELETE CASCADE
);
CREATE INDEX search_section_words_words ON search_section_words USING gin (words);

-- Words as they are written, for spelling and suggestions. One that no document has any more may stay for a while.
CREATE TABLE search_word (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    hash text COLLATE "C" NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant_id, space, hash),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX search_word_number ON search_word (tenant_id, number);
ALTER TABLE search_word ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_word FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON search_word USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Tenants whose documents are still to be read from the first to the last, and until when somebody is at it.
CREATE TABLE search_build (
    tenant_id text PRIMARY KEY CHECK (tenant_id <> ''),
    until timestamptz NOT NULL DEFAULT '-infinity'
);
ALTER TABLE search_build ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_build FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON search_build USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
