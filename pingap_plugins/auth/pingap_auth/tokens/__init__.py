"""JSON Web Tokens: keys, checks and signing. The cryptography is joserfc's."""
