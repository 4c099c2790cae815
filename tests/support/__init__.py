"""What several tests share: an API that fails on request, the server on each transport, processes."""
