-- The history of a space, the newest first, without sorting all of it.
CREATE INDEX revision_number ON revision (tenant_id, number DESC);
