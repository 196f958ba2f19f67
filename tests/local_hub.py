"""A server that speaks as much of the Hugging Face Hub as a small model needs, over a folder."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "a" * 40


class _Handler(BaseHTTPRequestHandler):
    """One repository; each commit adds files to it, under the same hash."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        super().__init__(*arguments)

    def log_message(self, *arguments):
        pass

    def reply(self, body, status=200, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        address = f"http://{self.headers['Host']}/someone/model"
        if self.path == "/api/repos/create":
            (self.folder / "created.json").write_bytes(body)
            self.reply({"url": address})
        elif self.path.startswith("/api/models/someone/model/preupload/"):
            paths = [file["path"] for file in json.loads(body)["files"]]
            self.reply(
                {
                    "files": [
                        {"path": path, "uploadMode": "regular", "shouldIgnore": False}
                        for path in paths
                    ]
                }
            )
        elif self.path.startswith("/api/models/someone/model/commit/"):
            for entry in map(json.loads, body.splitlines()):
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    (self.folder / entry["value"]["path"]).write_bytes(content)
            self.reply({"commitUrl": f"{address}/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self.reply({})

    def do_GET(self):
        files = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        digests = {name: hashlib.sha1(content).hexdigest() for name, content in files.items()}
        resolved = re.fullmatch(r"/someone/model/resolve/\w+/([\w.]+)", self.path)
        if self.path.startswith("/api/models/someone/model/tree/"):
            self.reply(
                [
                    {"type": "file", "path": n, "size": len(files[n]), "oid": digests[n]}
                    for n in files
                ]
            )
        elif self.path.startswith("/api/models/someone/model/revision/"):
            siblings = [{"rfilename": name} for name in files]
            self.reply({"id": "someone/model", "sha": COMMIT, "siblings": siblings})
        elif resolved and resolved[1] in files:
            name = resolved[1]
            self.reply(files[name], ETag=f'"{digests[name]}"', X_Repo_Commit=COMMIT)
        else:
            self.reply({}, status=404, X_Error_Code="EntryNotFound")

    do_HEAD = do_GET  # noqa: N815


@contextmanager
def serve_hub(folder: Path):
    """Serve the repository someone/model, whose files lie in a folder; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
