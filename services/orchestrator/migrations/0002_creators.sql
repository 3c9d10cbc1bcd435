-- The name of who created a task: services that keep things by people's names are told for whom an agent works.
ALTER TABLE task ADD COLUMN created_by_name text NOT NULL DEFAULT '';
