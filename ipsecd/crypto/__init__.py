"""The only room that imports ``cryptography``: transforms, PRFs, key exchange, key derivation."""
