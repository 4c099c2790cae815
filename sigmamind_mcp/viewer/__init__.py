APPS_EXTENSION = "io.modelcontextprotocol/ui"
VIEWER_URI = "ui://sigmamind/viewer.html"
