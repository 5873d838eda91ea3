"""HTTP messages and their parts: headers, requests, responses, errors and the context of a request. No IO."""
