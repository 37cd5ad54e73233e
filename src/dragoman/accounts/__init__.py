"""Who asks: keys, user tokens, guest sessions, tenants, and the principal behind a credential."""
