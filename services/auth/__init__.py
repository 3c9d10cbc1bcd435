"""auth: users, keys, certificates, roles and the audit log."""
