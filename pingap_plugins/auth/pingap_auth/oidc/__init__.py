"""Login at an OpenID provider: the provider, the login on its way, the session in a cookie, and the plugin."""
