"""What programs that serve have in common: they listen on loopback, say in one line of JSON when they are
ready, and end with whoever started them."""

import json
import os
import sys
import threading

from werkzeug.serving import WSGIRequestHandler, make_server

MAX_LIFETIME_S = 10 * 60


class Quiet(WSGIRequestHandler):
    """Standard error is nobody's to read."""

    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def _end_with_parent():
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def bound(app):
    """A server that listens, and its URL; it does not answer yet."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    return server, f"http://127.0.0.1:{server.server_port}"


def serve(server, line):
    threading.Thread(target=_end_with_parent, daemon=True).start()
    timer = threading.Timer(MAX_LIFETIME_S, lambda: os._exit(1))
    timer.daemon = True
    timer.start()
    print(json.dumps(line), flush=True)
    server.serve_forever()
