"""Cryptographic libraries behind the domain's ports: Argon2 and JOSE."""
