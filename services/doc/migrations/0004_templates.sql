-- Templates of spaces. Their bodies are sealed by the service; names, paths and variables are not: they are listed.

CREATE TABLE template (
    template_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 4096),
    body bytea NOT NULL,
    path text NOT NULL DEFAULT '' CHECK (length(path) <= 1000),
    variables jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(variables) = 'array'),
    edition bigint NOT NULL DEFAULT 1, -- counts changes: the etag
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE UNIQUE INDEX template_name ON template (tenant_id, space, name);
CREATE INDEX template_listed ON template (tenant_id, name, template_id);
ALTER TABLE template ENABLE ROW LEVEL SECURITY;
ALTER TABLE template FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON template USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
