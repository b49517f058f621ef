"""The web page of pools, its API and its metrics: `blockpool serve`. It needs the extra `web`."""
