-- Tenants, people, their sessions and keys; the keys that sign tokens; the audit log.
-- Row-level security stands behind the code: a transaction sees the rows of its tenant, or of all as the engine ('*').

CREATE TABLE tenant (
    tenant_id text PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9](-?[a-z0-9]){0,30}$'),
    created_at timestamptz NOT NULL
);

CREATE TABLE user_account (
    user_id text PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> '') REFERENCES tenant,
    username text NOT NULL UNIQUE CHECK (username ~ '^[a-z0-9._@-]{1,64}$'),
    roles text[] NOT NULL,
    disabled boolean NOT NULL,
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    created_at timestamptz NOT NULL,
    -- What makes a creation safe to repeat: who asked, under which id, and a digest of what was asked.
    creator text,
    request_id text,
    request_digest text,
    UNIQUE (creator, request_id),
    CHECK (num_nulls(creator, request_id, request_digest) IN (0, 3))
);
CREATE INDEX user_account_by_tenant ON user_account (tenant_id, user_id DESC);

CREATE TABLE refresh_family (
    family_id text PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    user_id text NOT NULL REFERENCES user_account ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX refresh_family_by_user ON refresh_family (user_id);
CREATE INDEX refresh_family_by_end ON refresh_family (expires_at);

CREATE TABLE refresh_token (
    digest bytea PRIMARY KEY CHECK (length(digest) = 32),
    family_id text NOT NULL REFERENCES refresh_family ON DELETE CASCADE,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    salt bytea CHECK (length(salt) = 32),
    CHECK ((used_at IS NULL) = (salt IS NULL))
);
CREATE INDEX refresh_token_by_family ON refresh_token (family_id);

CREATE TABLE api_key (
    key_id text PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    owner_id text NOT NULL REFERENCES user_account ON DELETE CASCADE,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    permissions text[] NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz
);
CREATE INDEX api_key_by_owner ON api_key (owner_id, key_id DESC);

-- Belongs to no tenant: digests of names and addresses, which may be nobody's.
CREATE TABLE sign_in_failure (
    subject_key text PRIMARY KEY,
    count integer NOT NULL CHECK (count > 0),
    last_at timestamptz NOT NULL
);
CREATE INDEX sign_in_failure_by_time ON sign_in_failure (last_at);

CREATE TABLE signing_key (
    key_id text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('next', 'active', 'retiring')),
    sealed_private bytea NOT NULL,
    created_at timestamptz NOT NULL,
    state_since timestamptz NOT NULL
);
CREATE UNIQUE INDEX signing_key_one_active ON signing_key (state) WHERE state = 'active';
CREATE UNIQUE INDEX signing_key_one_next ON signing_key (state) WHERE state = 'next';

CREATE TABLE certified_key (
    key_digest bytea PRIMARY KEY CHECK (length(key_digest) = 32),
    spiffe_id text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX certified_key_by_end ON certified_key (expires_at);

CREATE TABLE audit_event (
    event_id text PRIMARY KEY CHECK (event_id <> ''),
    tenant_id text CHECK (tenant_id <> ''), -- NULL: nobody was signed in; only the engine sees those
    occurred_at timestamptz NOT NULL,
    service text NOT NULL CHECK (service <> ''),
    subject text NOT NULL,
    workload text NOT NULL,
    method text NOT NULL,
    resource text NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    request_id text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_event_by_tenant ON audit_event (tenant_id, occurred_at DESC, event_id DESC);
CREATE INDEX audit_event_by_time ON audit_event (occurred_at DESC, event_id DESC);
CREATE INDEX audit_event_by_subject ON audit_event (subject, occurred_at DESC, event_id DESC);
CREATE INDEX audit_event_by_resource ON audit_event (resource, occurred_at DESC, event_id DESC);

CREATE FUNCTION audit_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_is_append_only();

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['tenant', 'user_account', 'refresh_family', 'refresh_token', 'api_key', 'audit_event']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING ((SELECT current_setting(''automesh.tenant'', true)) IN (tenant_id, ''*''))',
            guarded
        );
    END LOOP;
END
$$;
