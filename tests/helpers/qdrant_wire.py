"""Qdrant's requests over HTTP, answered by the client's local mode.

What a server is told goes through the same words as to a real one; it checks
the key, knows no graph and keeps everything in memory.
"""

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from threading import Lock, Thread

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

KEY = 'secret'


def _collection(method, local, name, body):
    if method == 'PUT':
        asked = models.CreateCollection(**body)
        return local.create_collection(
            name, vectors_config=asked.vectors, metadata=asked.metadata
        )
    if method == 'PATCH':
        asked = models.UpdateCollection(**body)
        return local.update_collection(name, metadata=asked.metadata)
    if method == 'DELETE':
        return local.delete_collection(name)
    return local.get_collection(name)


def _upsert(method, local, name, body):
    if method == 'PUT':
        asked = TypeAdapter(models.PointInsertOperations).validate_python(body)
        return local.upsert(name, asked.points)
    asked = models.PointRequest(**body)
    return local.retrieve(
        name, asked.ids, asked.with_payload, asked.with_vector
    )


def _delete(method, local, name, body):
    chosen = TypeAdapter(models.PointsSelector).validate_python(body)
    return local.delete(name, chosen)


def _scroll(method, local, name, body):
    asked = models.ScrollRequest(**body)
    points, start = local.scroll(
        name,
        asked.filter,
        asked.limit,
        offset=asked.offset,
        with_payload=asked.with_payload,
        with_vectors=asked.with_vector,
    )
    return models.ScrollResult(points=points, next_page_offset=start)


def _count(method, local, name, body):
    asked = models.CountRequest(**body)
    return local.count(name, asked.filter, exact=asked.exact)


def _query(method, local, name, body):
    asked = models.QueryRequestBatch(**body)
    for one in asked.searches:
        one.params = None
    return local.query_batch_points(name, asked.searches)


def _index(method, local, name, body):
    models.CreateFieldIndex(**body)
    return models.UpdateResult(status='completed')


def _payload(method, local, name, body):
    asked = models.SetPayload(**body)
    return local.set_payload(name, asked.payload, asked.points)


def _exists(method, local, name, body):
    return models.CollectionExistence(exists=local.collection_exists(name))


_ROUTES = {
    '': _collection,
    '/exists': _exists,
    '/index': _index,
    '/points': _upsert,
    '/points/count': _count,
    '/points/delete': _delete,
    '/points/payload': _payload,
    '/points/query/batch': _query,
    '/points/scroll': _scroll,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self):
        size = int(self.headers.get('Content-Length', 0))
        body = json.loads(self.rfile.read(size) or b'{}')
        path = self.path.split('?')[0]
        found = re.fullmatch(r'/collections/([^/]+)(/.*)?', path)
        self.server.asked.append((self.command, path, size))
        if self.headers.get('api-key') != KEY:
            return self.send(401, dict(status=dict(error='Invalid api-key')))
        if found is None:
            return self.send(
                200, dict(title='qdrant', version=version('qdrant-client'))
            )
        try:
            with self.server.lock:
                result = _ROUTES[found[2] or ''](
                    self.command, self.server.local, found[1], body
                )
        except ValueError as error:
            told = dict(status=dict(error=str(error)), time=0)
            return self.send(400, told)
        told = TypeAdapter(object).dump_python(result, mode='json')
        return self.send(200, dict(result=told, status='ok', time=0.0))

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

    def send(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@contextmanager
def qdrant_over_http():
    """Run the server; gives it, with ``url`` and ``asked``."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    server.local, server.lock, server.asked = (
        QdrantClient(':memory:'),
        Lock(),
        [],
    )
    server.url = f'http://127.0.0.1:{server.server_address[1]}'
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
