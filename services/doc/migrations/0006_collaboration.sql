-- Comments, notifications, webhooks, and rooms in which documents are edited together.
--
-- What people say (`quote`, `text`), updates of rooms and secrets of webhooks are sealed by the service. Who and where
-- are not: they are looked for.

-- A thread is a comment without `thread_id`; answers carry its id. The anchor is what was looked at; `at_*` is where that
-- stands in a later revision, worked out once and kept.
CREATE TABLE comment (
    comment_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" REFERENCES document ON DELETE CASCADE,
    review_id text COLLATE "C" REFERENCES review ON DELETE CASCADE,
    thread_id text COLLATE "C" REFERENCES comment ON DELETE CASCADE,
    branch text COLLATE "C" NOT NULL DEFAULT '',
    anchor_revision text COLLATE "C" NOT NULL DEFAULT '', -- empty: the whole document, or an answer
    anchor_start integer NOT NULL DEFAULT 0 CHECK (anchor_start >= 0),
    anchor_end integer NOT NULL DEFAULT 0 CHECK (anchor_end >= anchor_start),
    quote bytea,
    at_revision text COLLATE "C" NOT NULL DEFAULT '',
    at_start integer NOT NULL DEFAULT 0 CHECK (at_start >= 0),
    at_end integer NOT NULL DEFAULT 0 CHECK (at_end >= at_start),
    at_lost boolean NOT NULL DEFAULT false,
    text bytea, -- NULL: it was removed
    author text COLLATE "C" NOT NULL,
    mentions text[] COLLATE "C" NOT NULL DEFAULT '{}' CHECK (cardinality(mentions) <= 20),
    resolved_by text COLLATE "C" NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE,
    CONSTRAINT comment_has_a_place CHECK (document_id IS NOT NULL OR review_id IS NOT NULL),
    CONSTRAINT comment_anchored_with_its_quote CHECK ((anchor_revision = '') = (quote IS NULL)),
    CONSTRAINT comment_anchor_begins_a_thread CHECK (anchor_revision = '' OR thread_id IS NULL)
);
CREATE INDEX comment_document ON comment (document_id, branch) WHERE document_id IS NOT NULL;
CREATE INDEX comment_review ON comment (review_id) WHERE review_id IS NOT NULL;
CREATE INDEX comment_thread ON comment (thread_id) WHERE thread_id IS NOT NULL;
CREATE INDEX comment_space ON comment (tenant_id, space);
ALTER TABLE comment ENABLE ROW LEVEL SECURITY;
ALTER TABLE comment FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON comment USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Who wants to know of what. `stopped`: they said that they do not, so nothing follows for them by itself any more.
CREATE TABLE follow (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    username text COLLATE "C" NOT NULL CHECK (username <> ''),
    space text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL DEFAULT '', -- empty: the whole space
    stopped boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space, document_id, username),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX follow_person ON follow (tenant_id, username);
ALTER TABLE follow ENABLE ROW LEVEL SECURITY;
ALTER TABLE follow FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON follow USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- The feed of each person.
CREATE TABLE notification (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    username text COLLATE "C" NOT NULL CHECK (username <> ''),
    kind text NOT NULL,
    space text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL DEFAULT '',
    review_id text COLLATE "C" NOT NULL DEFAULT '',
    comment_id text COLLATE "C" NOT NULL DEFAULT '',
    actor text NOT NULL,
    text text NOT NULL CHECK (length(text) <= 1000),
    times integer NOT NULL DEFAULT 1 CHECK (times > 0), -- so often since the person looked
    seen boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX notification_feed ON notification (tenant_id, username, sequence DESC);
CREATE INDEX notification_unseen ON notification (tenant_id, username, document_id) WHERE NOT seen;
CREATE INDEX notification_space ON notification (tenant_id, space);
CREATE INDEX notification_age ON notification (created_at);
ALTER TABLE notification ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notification USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

CREATE TABLE doc_webhook (
    webhook_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    space text COLLATE "C" NOT NULL,
    url text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    kinds text[] NOT NULL,
    secret bytea NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_result text NOT NULL DEFAULT '',
    last_at timestamptz,
    disabled_reason text NOT NULL DEFAULT '',
    FOREIGN KEY (tenant_id, space) REFERENCES space ON DELETE CASCADE
);
CREATE INDEX doc_webhook_space ON doc_webhook (tenant_id, space, webhook_id);
ALTER TABLE doc_webhook ENABLE ROW LEVEL SECURITY;
ALTER TABLE doc_webhook FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON doc_webhook USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- What waits for a webhook; it goes when it has arrived. `sequence` is the order in which it is sent, one at a time.
CREATE TABLE doc_delivery (
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    delivery_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    webhook_id text COLLATE "C" NOT NULL REFERENCES doc_webhook ON DELETE CASCADE,
    event text NOT NULL,
    body bytea NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0), -- counts up with every claim; fences what comes late
    created_at timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz NOT NULL DEFAULT now(),
    claimed_until timestamptz
);
CREATE INDEX doc_delivery_next ON doc_delivery (webhook_id, sequence);
ALTER TABLE doc_delivery ENABLE ROW LEVEL SECURITY;
ALTER TABLE doc_delivery FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON doc_delivery USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- A document on a branch that is edited together. `sequence` is that of the last update; writers of updates hold the row,
-- so that no reader ever sees an update and misses an earlier one.
CREATE TABLE edit_room (
    room_id text COLLATE "C" PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    document_id text COLLATE "C" NOT NULL REFERENCES document ON DELETE CASCADE,
    branch text COLLATE "C" NOT NULL,
    founder bigint NOT NULL, -- the client id in Yjs that wrote the first text: tells this room from earlier ones
    head text COLLATE "C" NOT NULL, -- the revision that the text was brought together with last
    sequence bigint NOT NULL DEFAULT 0,
    cut_sequence bigint NOT NULL DEFAULT 0, -- everything up to here is in `head`
    authors text[] COLLATE "C" NOT NULL DEFAULT '{}', -- who wrote since then, the last one last
    refused_sequence bigint NOT NULL DEFAULT 0, -- the text then was refused: why
    refused_reason text NOT NULL DEFAULT '',
    refused_message text NOT NULL DEFAULT '',
    cutter text NOT NULL DEFAULT '', -- the replica that makes a revision, until:
    cutting_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (document_id, branch),
    CHECK (cut_sequence <= sequence)
);
CREATE INDEX edit_room_uncut ON edit_room (updated_at) WHERE cut_sequence < sequence;
CREATE INDEX edit_room_age ON edit_room (updated_at);
ALTER TABLE edit_room ENABLE ROW LEVEL SECURITY;
ALTER TABLE edit_room FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON edit_room USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

-- Updates of Yjs, in order; the first row of a room may stand for many that were brought together.
CREATE TABLE edit_update (
    room_id text COLLATE "C" NOT NULL REFERENCES edit_room ON DELETE CASCADE,
    sequence bigint NOT NULL CHECK (sequence > 0),
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    bytes bytea NOT NULL,
    PRIMARY KEY (room_id, sequence)
);
ALTER TABLE edit_update ENABLE ROW LEVEL SECURITY;
ALTER TABLE edit_update FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON edit_update USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
