"""The pages: asking in a browser, with and without JavaScript, and reading a source."""
