"""The certificate authority as files: root, issuing intermediate, bundle, first identities, the web certificate."""
