-- What is read, and what is looked for in vain. Nothing here grows with every visit for long: loops/analytics.py rolls it up.

-- Who has read which document, by the day of the last time: what counts a person once a day. None in spaces that store
-- no person.
CREATE TABLE reader (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL REFERENCES document ON DELETE CASCADE,
    username text COLLATE "C" NOT NULL CHECK (username <> ''),
    last_day date NOT NULL,
    confirmed_revision text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, document_id, username),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX reader_listed ON reader (tenant_id, document_id, last_day DESC, username DESC);
CREATE INDEX reader_space ON reader (tenant_id, space);
CREATE INDEX reader_document ON reader (document_id);
ALTER TABLE reader ENABLE ROW LEVEL SECURITY;
ALTER TABLE reader FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON reader USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Who came today, as a hash with a salt of the day (visitors of published sites, people where none is stored). Both are
-- gone when the day is over: then nobody can tell any more who it was.
CREATE TABLE visit (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    document_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    visitor bytea NOT NULL CHECK (length(visitor) = 16),
    PRIMARY KEY (tenant_id, document_id, day, visitor)
);
CREATE INDEX visit_day ON visit (day);
ALTER TABLE visit ENABLE ROW LEVEL SECURITY;
ALTER TABLE visit FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON visit USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Sealed by the service. Of all tenants, and nothing of theirs.
CREATE TABLE day_salt (
    day date PRIMARY KEY,
    salt bytea NOT NULL
);

-- Views of a document, by the day; older ones by the month (its first day).
CREATE TABLE view_day (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    views bigint NOT NULL DEFAULT 0,
    robot_views bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, space, day, document_id),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX view_day_age ON view_day (day);
ALTER TABLE view_day ENABLE ROW LEVEL SECURITY;
ALTER TABLE view_day FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON view_day USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE view_month (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    month date NOT NULL,
    views bigint NOT NULL DEFAULT 0,
    robot_views bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, space, month, document_id),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX view_month_age ON view_month (month);
ALTER TABLE view_month ENABLE ROW LEVEL SECURITY;
ALTER TABLE view_month FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON view_month USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Searches of the last hours, without who searched. `space` is empty for one of all spaces.
CREATE TABLE search_event (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    search_id text COLLATE "C" NOT NULL CHECK (length(search_id) BETWEEN 1 AND 64),
    space text COLLATE "C" NOT NULL,
    query text NOT NULL CHECK (length(query) BETWEEN 1 AND 200),
    results integer NOT NULL CHECK (results >= 0),
    searched_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, search_id)
);
CREATE INDEX search_event_space ON search_event (tenant_id, space, searched_at);
CREATE INDEX search_event_age ON search_event (searched_at);
ALTER TABLE search_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_event FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON search_event USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Searches of which a result was opened. No foreign key: a click may come in before its search.
CREATE TABLE search_click (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    search_id text COLLATE "C" NOT NULL CHECK (length(search_id) BETWEEN 1 AND 64),
    document_id text COLLATE "C" NOT NULL,
    rank integer NOT NULL CHECK (rank > 0),
    clicked_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, search_id)
);
CREATE INDEX search_click_age ON search_click (clicked_at);
ALTER TABLE search_click ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_click FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON search_click USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Queries by the day, older ones by the month. An empty query stands for all that were too rare to be kept by name.
CREATE TABLE query_day (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    day date NOT NULL,
    query text COLLATE "C" NOT NULL,
    searches bigint NOT NULL DEFAULT 0,
    without_results bigint NOT NULL DEFAULT 0,
    without_clicks bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, space, day, query)
);
CREATE INDEX query_day_age ON query_day (day);
ALTER TABLE query_day ENABLE ROW LEVEL SECURITY;
ALTER TABLE query_day FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON query_day USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE query_month (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    month date NOT NULL,
    query text COLLATE "C" NOT NULL,
    searches bigint NOT NULL DEFAULT 0,
    without_results bigint NOT NULL DEFAULT 0,
    without_clicks bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, space, month, query)
);
CREATE INDEX query_month_age ON query_month (month);
ALTER TABLE query_month ENABLE ROW LEVEL SECURITY;
ALTER TABLE query_month FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON query_month USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- A point a day of what was rolled up by the month.
CREATE TABLE space_day (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    day date NOT NULL,
    views bigint NOT NULL DEFAULT 0,
    robot_views bigint NOT NULL DEFAULT 0,
    searches bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, space, day)
);
CREATE INDEX space_day_age ON space_day (day);
ALTER TABLE space_day ENABLE ROW LEVEL SECURITY;
ALTER TABLE space_day FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON space_day USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE INDEX revision_time ON revision (tenant_id, created_at);
CREATE INDEX head_review ON head (tenant_id, space, updated_at) WHERE branch = 'main' AND deleted_at IS NULL;
